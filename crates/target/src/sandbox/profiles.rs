//! The profiles: what each lets a program do, beyond running and reading what its own command line and its plugin name.

use policy::Profile;

use super::bpf::Socket;

/// One profile.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) profile: Profile,
    /// Files and folders that are readable, whole; beside [`COMMON`].
    pub(super) reads: &'static [&'static str],
    /// Families of sockets.
    pub(super) sockets: &'static [Family],
    /// Unix sockets that may be connected to by path. Kept by the kernel from ABI 9 on; before that permissions alone decide.
    pub(super) services: &'static [&'static str],
    /// Whether TCP connections may be made.
    pub(super) tcp: bool,
    /// Whether the program's address space is bounded; Go's runtime reserves it freely.
    pub(super) bounded: bool,
}

/// A family of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Streams on this host. No datagrams: the system's log takes those, and its records must not be made by what they are about.
    Unix,
    /// TCP and UDP, and ICMP echo as datagrams, over IPv4 and IPv6; no raw packets.
    Inet,
    /// The kernel, by protocol.
    Netlink(&'static [u32]),
}

/// Interfaces, addresses, routes.
const ROUTE: u32 = 0;
/// Sockets.
const SOCK_DIAG: u32 = 4;
/// The audit subsystem.
const AUDIT: u32 = 9;
/// Firewall.
const NETFILTER: u32 = 12;
/// Devices that come and go; nobody but root can send there.
const UEVENT: u32 = 15;
/// ethtool, task statistics.
const GENERIC: u32 = 16;

/// Readable for every program, beside `/proc/self`: libraries, shared data, names of users and hosts, the zone, what the C library asks the kernel.
pub(super) const COMMON: &[&str] = &[
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/lib",
    "/usr/share",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/locale.alias",
    "/etc/locale.conf",
    "/etc/default/locale",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/networks",
    "/etc/hostname",
    "/etc/machine-id",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/login.defs",
    "/etc/python3",
    "/etc/perl",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/openssl.cnf",
    "/etc/crypto-policies",
    "/run/systemd/resolve",
    "/var/lib/sss/mc",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/proc/filesystems",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/ngroups_max",
    "/proc/sys/kernel/cap_last_cap",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/random/boot_id",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/crypto/fips_enabled",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/fs/cgroup/cgroup.controllers",
];

/// Folders whose names every program may list, not read: where programs and devices lie.
pub(super) const LISTED: &[&str] = &[
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/games",
    "/opt",
    "/dev",
];

/// Writable for every program.
pub(super) const SINKS: &[&str] = &["/dev/null"];

const KERNEL: &[&str] = &["/proc", "/sys", "/run/udev/data", "/run/utmp", "/run/mount/utab"];

/// All profiles. `file` is the narrowest: no socket at all, and of the file system what the line names.
pub(super) const PROFILES: [Row; 8] = [
    Row { profile: Profile::File, reads: &[], sockets: &[], services: &[], tcp: false, bounded: true },
    Row { profile: Profile::Proc, reads: KERNEL, sockets: &[], services: &[], tcp: false, bounded: true },
    Row {
        profile: Profile::Netlink,
        reads: &["/proc", "/sys", "/run/netns", "/etc/iproute2"],
        sockets: &[Family::Netlink(&[ROUTE, SOCK_DIAG, AUDIT, NETFILTER, UEVENT, GENERIC])],
        services: &[],
        tcp: false,
        bounded: true,
    },
    Row {
        profile: Profile::Net,
        reads: &[
            "/proc/sys/net",
            "/sys/class/net",
            "/sys/devices/virtual/net",
            "/etc/ssl/certs",
            "/etc/pki/ca-trust/extracted",
        ],
        sockets: &[Family::Inet, Family::Netlink(&[ROUTE])],
        services: &[],
        tcp: true,
        bounded: true,
    },
    Row {
        profile: Profile::Dbus,
        reads: &[
            "/proc",
            "/sys",
            "/run/systemd",
            "/run/dbus",
            "/run/udev/data",
            "/run/log/journal",
            "/var/log/journal",
            "/var/lib/systemd/catalog",
            "/etc/systemd",
        ],
        sockets: &[Family::Unix, Family::Netlink(&[ROUTE, GENERIC])],
        services: &["/run/dbus/system_bus_socket", "/run/systemd/resolve", "/run/systemd/userdb"],
        tcp: false,
        bounded: true,
    },
    Row {
        profile: Profile::Journal,
        reads: &["/run/log/journal", "/var/log/journal", "/var/lib/systemd/catalog"],
        sockets: &[],
        services: &[],
        tcp: false,
        bounded: true,
    },
    Row {
        profile: Profile::Container,
        reads: &["/proc", "/sys", "/etc/containers", "/etc/docker", "/etc/crictl.yaml"],
        sockets: &[Family::Unix],
        services: &["/run/docker.sock", "/run/podman", "/run/containerd", "/run/crio"],
        tcp: false,
        bounded: false,
    },
    Row {
        profile: Profile::Kube,
        reads: &["/etc/ssl/certs", "/etc/pki/ca-trust/extracted", "/etc/mcp-linux-infra/kubeconfig"],
        sockets: &[Family::Inet],
        services: &[],
        tcp: true,
        bounded: false,
    },
];

/// The row of a profile.
pub(super) fn row(profile: Profile) -> &'static Row {
    // A test holds the table to its order; the narrowest stands in for what it would not hold.
    PROFILES.iter().find(|row| row.profile == profile).unwrap_or(&PROFILES[0])
}

/// Whether a place lies, by its name, beneath one of these folders.
pub(super) fn beneath(place: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| place.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

impl Family {
    /// What the filter lets `socket` make.
    pub(super) fn sockets(self) -> Vec<Socket> {
        const STREAM: u32 = 1;
        const DATAGRAM: u32 = 2;
        const RAW: u32 = 3;
        let socket = |family: i32, types: &[u32], protocols: &[u32]| Socket {
            family: family.unsigned_abs(),
            types: types.to_vec(),
            protocols: protocols.to_vec(),
        };
        match self {
            Self::Unix => vec![socket(libc::AF_UNIX, &[STREAM], &[])],
            Self::Inet => [libc::AF_INET, libc::AF_INET6]
                .map(|family| socket(family, &[STREAM, DATAGRAM], &[0, 1, 6, 17, 58]))
                .into(),
            // For netlink a raw socket is the same as one for datagrams.
            Self::Netlink(protocols) => vec![socket(libc::AF_NETLINK, &[DATAGRAM, RAW], protocols)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_has_its_row() {
        use Profile::{Container, Dbus, File, Journal, Kube, Net, Netlink, Proc};
        for profile in [File, Proc, Netlink, Net, Dbus, Journal, Container, Kube] {
            assert_eq!(row(profile).profile, profile);
        }
    }

    #[test]
    fn nothing_secret_is_readable_by_a_profile() {
        let secret = [
            "/etc/shadow",
            "/etc/ssh",
            "/etc/ssl/private",
            "/root",
            "/home",
            "/var/log/auth.log",
            "/etc/sudoers",
            "/var/lib/mcp-linux-infra",
        ];
        for place in COMMON.iter().chain(PROFILES.iter().flat_map(|row| row.reads)) {
            for secret in secret {
                let within = |outer: &str, inner: &str| inner == outer || beneath(inner, &[outer]);
                assert!(!within(place, secret) && !within(secret, place), "{place} shows {secret}");
            }
        }
    }

    #[test]
    fn a_place_is_beneath_a_folder_by_whole_names() {
        assert!(beneath("/proc/stat", &["/sys", "/proc"]) && beneath("/run/a/b", &["/run/a"]));
        assert!(!beneath("/process", &["/proc"]) && !beneath("/proc", &["/proc"]) && !beneath("/etc", &[]));
    }
}
