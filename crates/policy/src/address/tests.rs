use proptest::prelude::*;

use super::*;

fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse()
}

#[test]
fn endpoints_have_one_spelling() {
    for text in
        ["10.0.0.5:443", "localhost:22", "db-1.lab_a.test:65535", "[fd00::5]:22", "[::1]:80", "a1.b2:1"]
    {
        let read = endpoint(text).unwrap();
        assert_eq!(read.to_string(), text);
    }
    assert_eq!(endpoint("Example.COM:80").unwrap().host, Host::Name("example.com".to_owned()));
}

#[test]
fn what_others_read_as_another_address_is_refused() {
    for text in [
        "127.1:22",
        "127.0.1:22",
        "2130706433:22",
        "0x7f000001:22",
        "0x7f.1:22",
        "0177.0.0.1:22",
        "127.0.0.01:22",
        "127.0.0.0x1:22",
        "1.2.3.4.5:22",
        "a.0x:22",
        "256.1.1.1:22",
        "[::ffff:10.0.0.5]:22",
        "[::ffff:a00:5]:22",
        "[0:0:0:0:0:ffff:0a00:0005]:22",
        "[::ffff:0:10.0.0.5]:22",
        "[::10.0.0.5]:22",
        "[64:ff9b::10.0.0.5]:22",
        "[64:ff9b:1::a00:5]:22",
        "[2002:a00:5::]:22",
        "[2001:0:a00:5::]:22",
        "[fe80::1%eth0]:22",
        "[fd00::1%1]:22",
        "[10.0.0.5]:22",
        "fd00::5:22",
        "::1:22",
        "[::1:22",
        "[::1]22",
        "[::1]",
        "10.0.0.5",
        "10.0.0.5:",
        "10.0.0.5:0",
        "10.0.0.5:022",
        "10.0.0.5:+22",
        "10.0.0.5:65536",
        "10.0.0.5:22:22",
        ":22",
        "a..b:22",
        "a.:22",
        "-a:22",
        "a b:22",
        "a/b:22",
        "a@b:22",
        "é:22",
    ] {
        assert!(endpoint(text).is_err(), "{text}");
    }
    assert!(endpoint(&format!("{}:1", "a.".repeat(127) + "a")).is_err(), "a name of 255 bytes");
}

#[test]
fn some_addresses_are_never_connected_to() {
    for (text, why) in [
        ("169.254.169.254", "metadata"),
        ("169.254.0.1", "link-local"),
        ("169.254.255.255", "link-local"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("240.0.0.1", "broadcast"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::2", "IPv4"),
        ("::127.0.0.1", "IPv4"),
        ("::ffff:127.0.0.1", "IPv4"),
        ("64:ff9b::1", "NAT64"),
        ("64:ff9b:1:ffff::1", "NAT64"),
        ("2001::1", "Teredo"),
        ("2002::1", "6to4"),
        ("100::1", "discarded"),
        ("fe80::1", "link-local"),
        ("febf:ffff::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
    ] {
        let said = never(text.parse().unwrap()).unwrap_or_else(|| panic!("{text} is permitted"));
        assert!(said.contains(why), "{text}: {said}");
    }
    for text in [
        "127.0.0.1",
        "10.0.0.5",
        "169.253.255.255",
        "169.255.0.0",
        "1.0.0.0",
        "223.255.255.255",
        "192.0.1.0",
        "100.100.100.201",
        "168.63.129.17",
        "::1",
        "fd00::5",
        "2001:db8::1",
        "2001:1::1",
        "2003::1",
        "fe00::1",
        "2606:4700::1",
        "64:ff9b:2::1",
        "100:0:0:1::1",
        "fd00:ec2::253",
    ] {
        assert_eq!(never(text.parse().unwrap()), None, "{text}");
    }
}

#[test]
fn urls_name_a_host_and_a_path_and_nothing_else() {
    for (text, port, path) in [
        ("http://localhost", 80, "/"),
        ("http://localhost:8080/healthz", 8080, "/healthz"),
        ("http://[fd00::5]:81/a/b-c_d~e.f/", 81, "/a/b-c_d~e.f/"),
        ("http://10.0.0.5/", 80, "/"),
        ("http://localhost/..a//b", 80, "/..a//b"),
    ] {
        let url: HttpUrl = text.parse().unwrap();
        assert_eq!((url.endpoint.port, url.path.as_str()), (port, path), "{text}");
        assert_eq!(url.to_string().parse(), Ok(url));
    }
    for text in [
        "https://localhost/",
        "HTTP://localhost/",
        "http:/localhost/",
        "//localhost/",
        "http://",
        "http:///x",
        "http://user@localhost/",
        "http://user:secret@localhost/",
        "http://localhost/?a=b",
        "http://localhost?a=b",
        "http://localhost/#a",
        "http://localhost/a b",
        "http://localhost/a%20b",
        "http://localhost/a\\b",
        "http://localhost\\@evil/",
        "http://localhost/\r\nX: y",
        "http://localhost/../a",
        "http://localhost/a/..",
        "http://localhost/./a",
        "http://127.1/",
        "http://169.254.169.254/",
        "http://[::ffff:169.254.169.254]/",
        "http://localhost:/",
        "http://localhost:80:80/",
        "http://é/",
    ] {
        assert!(text.parse::<HttpUrl>().is_err(), "{text}");
    }
    let long = |n: usize| format!("http://a/{}", "b".repeat(n)).parse::<HttpUrl>().is_ok();
    assert!(long(MAX_PATH - 1) && !long(MAX_PATH));
}

#[test]
fn rules_are_networks_and_ports() {
    for (rule, address, port, holds) in [
        ("10.0.0.0/8:443", "10.255.1.2", 443, true),
        ("10.0.0.0/8:443", "11.0.0.0", 443, false),
        ("10.0.0.0/8:443", "10.0.0.1", 444, false),
        ("10.0.0.5:8000-8100", "10.0.0.5", 8000, true),
        ("10.0.0.5:8000-8100", "10.0.0.5", 8100, true),
        ("10.0.0.5:8000-8100", "10.0.0.5", 8101, false),
        ("10.0.0.5:8000-8100", "10.0.0.4", 8000, false),
        ("[fd00::/8]:443", "fdff::1", 443, true),
        ("[fd00::/8]:443", "fc00::1", 443, false),
        ("[fd00::5]:*", "fd00::5", 1, true),
        ("0.0.0.0/0:*", "203.0.113.9", 65535, true),
        ("0.0.0.0/0:*", "fd00::1", 1, false),
        ("[::/0]:443", "2606:4700::1", 443, true),
    ] {
        let read: Rule = rule.parse().unwrap();
        assert_eq!(read.holds(address.parse().unwrap(), port), holds, "{rule} {address} {port}");
    }
    for rule in [
        "10.0.0.1/8:443",
        "10.0.0.0/8",
        "10.0.0.0/33:443",
        "10.0.0.0/08:443",
        "10.0.0.0/-1:443",
        "10.0.0.0/:443",
        "10.0.0.0/8:0",
        "10.0.0.0/8:5-4",
        "10.0.0.0/8:1-2-3",
        "10.0.0.0/8:",
        "10.0.0.0/8:**",
        "fd00::/8:443",
        "[fd00::1/8]:443",
        "[fd00::/129]:443",
        "db.lab.test:443",
        "010.0.0.0/8:443",
        "169.254.169.254:80",
        "169.254.0.0/16:80",
        "224.0.0.0/4:*",
        "[fe80::/10]:22",
        "[::ffff:0:0/96]:443",
        "*:443",
    ] {
        assert!(rule.parse::<Rule>().is_err(), "{rule}");
    }
}

proptest! {
    /// Whatever is read is neither hidden nor forbidden, and is read the same from its own spelling.
    #[test]
    fn what_is_read_has_one_meaning(text in "(\\[?[0-9a-fA-Fx:.]{1,20}\\]?|[a-zA-Z0-9._-]{1,20}|[ -~]{0,20})(:[0-9]{0,6})?") {
        if let Ok(read) = text.parse::<Endpoint>() {
            prop_assert_eq!(read.to_string().parse::<Endpoint>(), Ok(read.clone()));
            match read.host {
                Host::Address(address) => prop_assert_eq!(never(address), None),
                // The C library reads every form that inet_aton does, and those end in a number.
                Host::Name(name) => {
                    let last = name.rsplit('.').next().unwrap_or_default();
                    prop_assert!(!last.bytes().all(|b| b.is_ascii_digit()), "{}", name);
                    let hex = last.strip_prefix("0x").is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                    prop_assert!(!hex, "{}", name);
                }
            }
        }
        let url = format!("http://{text}/x");
        if let Ok(read) = url.parse::<HttpUrl>() {
            prop_assert_eq!(read.to_string().parse::<HttpUrl>(), Ok(read));
        }
    }

    /// A rule holds exactly the addresses that share its prefix, and none of another family.
    #[test]
    fn a_rule_holds_its_prefix(network in any::<u32>(), bits in 0_u8..=32, address in any::<u32>(), port in 1_u16..) {
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        let first = Ipv4Addr::from(network & mask);
        let text = format!("{first}/{bits}:{port}");
        if let Ok(rule) = text.parse::<Rule>() {
            let within = (address & mask) == (network & mask);
            prop_assert_eq!(rule.holds(Ipv4Addr::from(address).into(), port), within);
            prop_assert!(!rule.holds(Ipv4Addr::from(address).to_ipv6_mapped().into(), port));
            prop_assert!(port == 1 || !rule.holds(first.into(), port - 1));
        } else {
            prop_assert!(never(first.into()).is_some() && bits > 0, "{}", text);
        }
    }
}
