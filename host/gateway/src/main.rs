//! The `tidegate` program: arguments in, exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate_gateway::cli::main()
}
