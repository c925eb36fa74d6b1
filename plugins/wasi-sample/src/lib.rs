//! Asks WASI for everything that a plugin must not get, and tells what it got. For the
//! host's tests.

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({
        inline: "
            package sample:greedy@1.0.0;

            world greedy {
                import wasi:cli/environment@0.2.0;
                import wasi:cli/stdout@0.2.0;
                import wasi:clocks/wall-clock@0.2.0;
                import wasi:clocks/monotonic-clock@0.2.0;
                import wasi:filesystem/preopens@0.2.0;
                import wasi:random/random@0.2.0;
                import wasi:sockets/instance-network@0.2.0;
                import wasi:sockets/ip-name-lookup@0.2.0;

                export environment: func() -> list<tuple<string, string>>;
                export arguments: func() -> list<string>;
                export directories: func() -> u32;
                export seconds: func() -> u64;
                export elapsed: func() -> u64;
                export random: func() -> list<u8>;
                export lookup: func(name: string) -> bool;
                export print: func(text: string);
            }

            package wasi:cli@0.2.0 {
                interface environment {
                    get-environment: func() -> list<tuple<string, string>>;
                    get-arguments: func() -> list<string>;
                }
                interface stdout {
                    use wasi:io/streams@0.2.0.{output-stream};
                    get-stdout: func() -> output-stream;
                }
            }
            package wasi:io@0.2.0 {
                interface error { resource error; }
                interface streams {
                    use error.{error};
                    variant stream-error { last-operation-failed(error), closed }
                    resource output-stream {
                        blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                    }
                }
            }
            package wasi:clocks@0.2.0 {
                interface wall-clock {
                    record datetime { seconds: u64, nanoseconds: u32 }
                    now: func() -> datetime;
                }
                interface monotonic-clock { now: func() -> u64; }
            }
            package wasi:filesystem@0.2.0 {
                interface types { resource descriptor; }
                interface preopens {
                    use types.{descriptor};
                    get-directories: func() -> list<tuple<descriptor, string>>;
                }
            }
            package wasi:random@0.2.0 {
                interface random { get-random-bytes: func(len: u64) -> list<u8>; }
            }
            package wasi:sockets@0.2.0 {
                interface network {
                    resource network;
                    enum error-code {
                        unknown, access-denied, not-supported, invalid-argument, out-of-memory,
                        timeout, concurrency-conflict, not-in-progress, would-block, invalid-state,
                        new-socket-limit, address-not-bindable, address-in-use,
                        remote-unreachable, connection-refused, connection-reset,
                        connection-aborted, datagram-too-large, name-unresolvable,
                        temporary-resolver-failure, permanent-resolver-failure,
                    }
                }
                interface instance-network {
                    use network.{network};
                    instance-network: func() -> network;
                }
                interface ip-name-lookup {
                    use network.{network, error-code};
                    resource resolve-address-stream;
                    resolve-addresses: func(network: borrow<network>, name: string)
                        -> result<resolve-address-stream, error-code>;
                }
            }
        ",
        world: "sample:greedy/greedy",
        generate_all,
    });
}

use bindings::{
    Guest,
    wasi::{
        cli::{environment, stdout},
        clocks::{monotonic_clock, wall_clock},
        filesystem::preopens,
        random::random,
        sockets::{instance_network, ip_name_lookup},
    },
};

struct Greedy;

impl Guest for Greedy {
    fn environment() -> Vec<(String, String)> {
        environment::get_environment()
    }

    fn arguments() -> Vec<String> {
        environment::get_arguments()
    }

    fn directories() -> u32 {
        u32::try_from(preopens::get_directories().len()).unwrap_or(u32::MAX)
    }

    fn seconds() -> u64 {
        wall_clock::now().seconds
    }

    fn elapsed() -> u64 {
        let first = monotonic_clock::now();
        monotonic_clock::now() - first
    }

    fn random() -> Vec<u8> {
        random::get_random_bytes(8)
    }

    fn lookup(name: String) -> bool {
        let network = instance_network::instance_network();
        ip_name_lookup::resolve_addresses(&network, &name).is_ok()
    }

    fn print(text: String) {
        // What cannot be printed is lost, as anywhere.
        let _ = stdout::get_stdout().blocking_write_and_flush(text.as_bytes());
    }
}

bindings::export!(Greedy with_types_in bindings);
