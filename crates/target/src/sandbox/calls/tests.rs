//! What the table lets through, call by call.

use super::super::bpf::{ARCH, assemble, tests::run};
use super::*;

const HERE: Circumstances = Circumstances { abi: 7, uid: 998, gid: 997 };

fn verdict(sockets: &[Socket], here: &Circumstances, number: libc::c_long, arguments: [u64; 6]) -> u32 {
    let program = assemble(&rules(sockets, here), LAST);
    run(&program, ARCH, u32::try_from(number).unwrap(), arguments)
}

fn allowed(number: libc::c_long, arguments: [u64; 6]) -> bool {
    verdict(&[], &HERE, number, arguments) == libc::SECCOMP_RET_ALLOW
}

#[test]
fn the_program_says_what_the_table_says() {
    let rules = rules(&[], &HERE);
    assert!(rules.iter().all(|(number, _)| *number <= LAST));
    assert!(rules.windows(2).all(|pair| pair[0].0 < pair[1].0), "each number once");
    let program = assemble(&rules, LAST);
    assert!(program.len() < 1000, "{} instructions", program.len());
    assert!(program.iter().all(|i| i.jump_true < u8::MAX && i.jump_false < u8::MAX));
    for number in 0..=LAST + 100 {
        let found = rules.iter().find(|(listed, _)| *listed == number).map(|(_, rule)| rule);
        let expected = match found {
            Some(Rule::Allow) => libc::SECCOMP_RET_ALLOW,
            Some(Rule::Fail(errno)) => libc::SECCOMP_RET_ERRNO | u32::from(*errno),
            Some(_) => continue,
            None if number <= LAST => libc::SECCOMP_RET_ERRNO | 1,
            None => libc::SECCOMP_RET_ERRNO | u32::from(ENOSYS),
        };
        assert_eq!(run(&program, ARCH, number, [0; 6]), expected, "{number}");
    }
}

/// What DESIGN and SECURITY promise, by name.
#[test]
fn calls_that_change_something_fail() {
    for number in [
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        452,
        // mseal aside, what came after: setxattrat, removexattrat, open_tree_attr.
        463,
        466,
        467,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        libc::SYS_utimensat,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kcmp,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_reboot,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_adjtimex,
        libc::SYS_clock_adjtime,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_quotactl,
        libc::SYS_acct,
        libc::SYS_setgroups,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_pidfd_send_signal,
        libc::SYS_pidfd_getfd,
        libc::SYS_truncate,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_unlinkat,
        libc::SYS_mkdirat,
        libc::SYS_symlinkat,
        libc::SYS_mknodat,
        libc::SYS_memfd_create,
        libc::SYS_execveat,
        libc::SYS_open_by_handle_at,
        libc::SYS_setsid,
        libc::SYS_setpgid,
        libc::SYS_listen,
        libc::SYS_accept4,
        libc::SYS_setpriority,
        libc::SYS_ioprio_set,
        libc::SYS_sched_setscheduler,
        libc::SYS_fanotify_init,
        libc::SYS_shmget,
        libc::SYS_msgget,
        libc::SYS_semget,
        libc::SYS_mq_open,
        libc::SYS_vhangup,
        libc::SYS_flock,
    ] {
        assert_eq!(verdict(&[], &HERE, number, [0; 6]), libc::SECCOMP_RET_ERRNO | 1, "call {number}");
    }
    #[cfg(target_arch = "x86_64")]
    for number in [
        libc::SYS_creat,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_utime,
        libc::SYS_utimes,
        libc::SYS_futimesat,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_link,
        libc::SYS_unlink,
        libc::SYS_mkdir,
        libc::SYS_rmdir,
        libc::SYS_symlink,
        libc::SYS_mknod,
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_modify_ldt,
    ] {
        assert!(!allowed(number, [0; 6]), "call {number}");
    }
}

#[test]
fn arguments_decide() {
    let arg = |a: u64, b: u64, c: u64| [a, b, c, 0, 0, 0];
    assert!(allowed(libc::SYS_clone, arg(0x0120_0011, 0, 0)));
    assert!(!allowed(libc::SYS_clone, arg(0x1000_0011, 0, 0)), "CLONE_NEWUSER");
    for (flags, ok) in
        [(0, true), (0x80000, true), (1, true), (0o1001, true), (0o1000, false), (3, false), (0o1003, false)]
    {
        assert_eq!(allowed(libc::SYS_openat, arg(0, 0, flags)), ok, "{flags:o}");
        let none = Circumstances { abi: 0, ..HERE };
        let alone = verdict(&[], &none, libc::SYS_openat, arg(0, 0, flags)) == libc::SECCOMP_RET_ALLOW;
        assert_eq!(alone, flags & 0o1103 == 0, "{flags:o} without Landlock");
    }
    assert!(allowed(libc::SYS_ioctl, arg(1, 0x5401, 0)));
    for request in [0x5412, 0x541c, 0x4008_6602, 0x8924, 0x8914, 0x541d] {
        assert!(!allowed(libc::SYS_ioctl, arg(0, request, 0)), "{request:x}");
    }
    assert!(allowed(libc::SYS_fcntl, arg(1, 3, 0)) && !allowed(libc::SYS_fcntl, arg(1, 8, 1)));
    assert!(allowed(libc::SYS_syslog, arg(3, 0, 0)) && !allowed(libc::SYS_syslog, arg(5, 0, 0)));
    assert!(allowed(libc::SYS_prlimit64, arg(0, 7, 0)) && !allowed(libc::SYS_prlimit64, arg(1, 7, 0)));
    assert!(allowed(libc::SYS_setuid, arg(998, 0, 0)) && !allowed(libc::SYS_setuid, arg(0, 0, 0)));
    assert!(
        allowed(libc::SYS_setresuid, arg(998, 0xffff_ffff, 998))
            && !allowed(libc::SYS_setresuid, arg(998, 998, 0))
    );
    assert!(allowed(libc::SYS_socketpair, arg(1, 1, 0)) && !allowed(libc::SYS_socketpair, arg(2, 1, 0)));
    assert!(allowed(libc::SYS_tgkill, arg(1, 1, 9)) && allowed(libc::SYS_kill, arg(1, 9, 0)));
    let old = |number, target: u64| {
        let here = Circumstances { abi: 5, ..HERE };
        verdict(&[], &here, number, [target, 9, 9, 0, 0, 0]) == libc::SECCOMP_RET_ALLOW
    };
    assert!(
        old(libc::SYS_kill, OWN_PID.into())
            && old(libc::SYS_kill, 0)
            && old(libc::SYS_tgkill, OWN_PID.into())
    );
    for other in [1, 4242, 0xffff_ffff] {
        assert!(!old(libc::SYS_kill, other) && !old(libc::SYS_tgkill, other));
    }
    assert_eq!(verdict(&[], &HERE, libc::SYS_socket, arg(2, 1, 0)), libc::SECCOMP_RET_ERRNO + 97);
}
