//! The seccomp filter: system calls that no server has a use for, and that have been ways out
//! of sandboxes.
//!
//! A list of what is refused, not of what is permitted: programs of any language run here,
//! and what is refused fails as if there were no right to it. `clone3` and `io_uring` look as
//! if the kernel had none, so that runtimes fall back to what can be looked at.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::{Network, SandboxError};

/// Refused whatever its arguments are.
const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// Answered as if the kernel had none.
const ABSENT: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Namespaces that `clone` may not make.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// The bit that calls the same call by the numbers of another ABI.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Confines the calling thread, and whatever it starts, for good.
pub(super) fn apply(network: Network) -> Result<(), SandboxError> {
    let failed = |error: &dyn std::fmt::Display| SandboxError::Mechanism {
        mechanism: "seccomp",
        why: error.to_string(),
    };
    for program in programs(network).map_err(|error| failed(&error))? {
        seccompiler::apply_filter(&program).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Whether the kernel takes filters.
pub(super) fn is_available() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Seccomp:")) && programs(Network::None).is_ok()
}

fn programs(network: Network) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    Ok([
        program(every(ABSENT), libc::ENOSYS)?,
        program(with_conditions(every(REFUSED), network)?, libc::EPERM)?,
    ])
}

fn program(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(u32::try_from(errno).unwrap_or_default());
    #[cfg(target_arch = "x86_64")]
    let rules = both(rules);
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

/// The same rules for the numbers of the x32 ABI, which a filter sees as the same machine.
#[cfg(target_arch = "x86_64")]
fn both(rules: Rules) -> Rules {
    let twins: Vec<_> = rules.iter().map(|(call, rules)| (call | X32, rules.clone())).collect();
    rules.into_iter().chain(twins).collect()
}

fn every(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn with_conditions(mut rules: Rules, network: Network) -> Result<Rules, seccompiler::BackendError> {
    let namespaces = NAMESPACES.into_iter().map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        one(&[(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)])
    });
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    // Keys pressed into somebody's terminal.
    let tiocsti = u64::from(libc::TIOCSTI as u32);
    let push = one(&[(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, tiocsti)])?;
    rules.insert(libc::SYS_ioctl, vec![push]);
    let (dword, eq, ne) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, SeccompCmpOp::Ne);
    let number = |value: i32| u64::from(value.cast_unsigned());
    let sockets = match network {
        // Packets below the protocols, and the ways to other virtual machines.
        Network::Host => [libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG]
            .into_iter()
            .map(|family| one(&[(0, dword.clone(), eq.clone(), number(family))]))
            .collect::<Result<_, _>>()?,
        // TCP alone, which Landlock holds to one port.
        Network::Serve(_) => vec![
            one(&[
                (0, dword.clone(), ne.clone(), number(libc::AF_INET)),
                (0, dword.clone(), ne, number(libc::AF_INET6)),
            ])?,
            one(&[(1, dword.clone(), SeccompCmpOp::MaskedEq(0xf), number(libc::SOCK_DGRAM))])?,
            one(&[(1, dword, SeccompCmpOp::MaskedEq(0xf), number(libc::SOCK_RAW))])?,
        ],
        Network::None => Vec::new(),
    };
    rules.insert(libc::SYS_socket, sockets);
    Ok(rules)
}

/// A rule that holds where all of these do.
fn one(
    conditions: &[(u8, SeccompCmpArgLen, SeccompCmpOp, u64)],
) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = conditions.iter().map(|(index, length, operator, value)| {
        SeccompCondition::new(*index, length.clone(), operator.clone(), *value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}
