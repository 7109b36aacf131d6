//! Who is believed, and what.

use super::*;

fn networks(texts: &[&str]) -> Networks {
    texts
        .iter()
        .map(|text| text.parse::<Network>().unwrap())
        .collect()
}

fn peer(address: &str) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        scheme: Scheme::Http,
    }
}

fn client(
    named_by: NamedBy,
    trusted: &[&str],
    headers: &[(&'static str, &str)],
) -> (String, Scheme) {
    let proxies = Proxies {
        named_by,
        trusted: networks(trusted),
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    let found = proxies.client_of(&map, peer("10.0.0.1:55"));
    (found.address.to_string(), found.scheme)
}

#[test]
fn a_network_has_the_addresses_of_its_prefix() {
    for (network, address, inside) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.2", false),
        ("0.0.0.0/0", "255.1.1.1", true),
        ("0.0.0.0/0", "::1", false),
        ("10.0.0.0/8", "::ffff:10.0.0.9", true),
        ("::ffff:10.0.0.9", "10.0.0.9", true),
        ("2001:db8::/33", "2001:db8:7fff::1", true),
        ("2001:db8::/33", "2001:db8:8000::1", false),
        ("::/0", "2001::", true),
    ] {
        let parsed: Network = network.parse().unwrap();
        assert_eq!(
            parsed.contains(address.parse().unwrap()),
            inside,
            "{network} {address}"
        );
    }
    for wrong in [
        "",
        "10.0.0",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "::/129",
        "host/8",
        "/8",
    ] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

const SPOOFED: [(&str, &str); 5] = [
    ("forwarded", "for=192.0.2.9;proto=https"),
    ("x-forwarded-for", "192.0.2.9"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "192.0.2.9"),
    ("true-client-ip", "192.0.2.9"),
];

#[test]
fn headers_change_nothing_when_nobody_is_trusted() {
    let unchanged = ("10.0.0.1:55".to_owned(), Scheme::Http);
    for named_by in [
        NamedBy::Nothing,
        NamedBy::ProxyProtocol,
        NamedBy::Forwarded,
        NamedBy::XForwardedFor,
    ] {
        assert_eq!(client(named_by, &[], &SPOOFED), unchanged, "{named_by:?}");
        assert_eq!(client(named_by, &["172.16.0.0/12"], &SPOOFED), unchanged);
    }
    for named_by in [NamedBy::Nothing, NamedBy::ProxyProtocol] {
        assert_eq!(client(named_by, &["10.0.0.0/8"], &SPOOFED), unchanged);
    }
}

#[test]
fn only_the_way_that_was_configured_is_believed() {
    let trusted = ["10.0.0.0/8"];
    assert_eq!(
        client(NamedBy::Forwarded, &trusted, &[SPOOFED[1], SPOOFED[2]]),
        ("10.0.0.1:55".to_owned(), Scheme::Http)
    );
    assert_eq!(
        client(NamedBy::XForwardedFor, &trusted, &[SPOOFED[0]]),
        ("10.0.0.1:55".to_owned(), Scheme::Http)
    );
}

#[test]
fn what_stands_before_the_nearest_stranger_is_not_believed() {
    let trusted = ["10.0.0.0/8", "2001:db8::/32"];
    for (value, expected, scheme) in [
        (
            "for=192.0.2.60;proto=https;by=203.0.113.43",
            "192.0.2.60:0",
            Scheme::Https,
        ),
        ("For=\"192.0.2.43:47011\"", "192.0.2.43:47011", Scheme::Http),
        (
            "for=\"[2001:db9::17]:4711\"",
            "[2001:db9::17]:4711",
            Scheme::Http,
        ),
        ("for=1.1.1.1, for=192.0.2.1", "192.0.2.1:0", Scheme::Http),
        (
            "for=1.1.1.1;proto=https, for=192.0.2.1;proto=http",
            "192.0.2.1:0",
            Scheme::Http,
        ),
        ("for=192.0.2.1, for=10.0.0.2", "192.0.2.1:0", Scheme::Http),
        (
            "for=1.1.1.1, for=192.0.2.1, for=\"[2001:db8::1]\"",
            "192.0.2.1:0",
            Scheme::Http,
        ),
        ("for=unknown", "10.0.0.1:55", Scheme::Http),
        ("for=192.0.2.1, for=_hidden", "10.0.0.1:55", Scheme::Http),
        (
            "for=1.1.1.1, ext=\"a,for=1.1.1.1;\\\",\";for=192.0.2.1",
            "192.0.2.1:0",
            Scheme::Http,
        ),
        ("", "10.0.0.1:55", Scheme::Http),
        ("nonsense", "10.0.0.1:55", Scheme::Http),
        (",,,;;=", "10.0.0.1:55", Scheme::Http),
    ] {
        let found = client(NamedBy::Forwarded, &trusted, &[("forwarded", value)]);
        assert_eq!(found, (expected.to_owned(), scheme), "{value}");
    }
    for (value, expected) in [
        ("192.0.2.1", "192.0.2.1:0"),
        ("1.1.1.1, 192.0.2.1", "192.0.2.1:0"),
        ("192.0.2.1, 10.9.9.9", "192.0.2.1:0"),
        ("192.0.2.1:80 , 10.9.9.9", "192.0.2.1:80"),
        ("192.0.2.1, nonsense", "10.0.0.1:55"),
        ("2001:db9::1", "[2001:db9::1]:0"),
        ("10.0.0.7", "10.0.0.7:0"),
    ] {
        let found = client(
            NamedBy::XForwardedFor,
            &trusted,
            &[("x-forwarded-for", value)],
        );
        assert_eq!(found.0, expected, "{value}");
    }
    let twice = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http, https"),
    ];
    assert_eq!(
        client(NamedBy::XForwardedFor, &trusted, &twice),
        ("192.0.2.1:0".to_owned(), Scheme::Https)
    );
}

fn complete(len: usize, client: Option<&str>) -> Result<Parsed, HeaderError> {
    Ok(Parsed::Complete {
        len,
        client: client.map(|client| client.parse().unwrap()),
    })
}

fn v2(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([version_command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[test]
fn proxy_headers_of_both_versions_are_read() {
    let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 1, 0xBB];
    let mut six = [0; 36];
    (six[0], six[1], six[15], six[32], six[33]) = (0x20, 0x01, 9, 0, 80);
    let more = [&four[..], &[4, 0, 3, 1, 2, 3]].concat();
    for (bytes, expected) in [
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET /".to_vec(),
            complete(42, Some("192.0.2.1:56324")),
        ),
        (
            b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(),
            complete(32, Some("[2001:db8::1]:1")),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), complete(15, None)),
        (
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
            complete(35, None),
        ),
        (v2(0x21, 0x11, &four), complete(28, Some("192.0.2.1:4660"))),
        (v2(0x21, 0x11, &more), complete(34, Some("192.0.2.1:4660"))),
        (v2(0x21, 0x21, &six), complete(52, Some("[2001::9]:80"))),
        (v2(0x20, 0x00, &[]), complete(16, None)),
        (v2(0x20, 0x11, &four), complete(28, None)),
        (v2(0x21, 0x31, &[0; 216]), complete(232, None)),
        (
            v2(0x21, 0x00, &[0; MAX_HEADER_LEN - 16]),
            complete(MAX_HEADER_LEN, None),
        ),
    ] {
        assert_eq!(parse_header(&bytes), expected, "{bytes:?}");
        let Ok(Parsed::Complete { len, .. }) = expected else {
            unreachable!()
        };
        for cut in 0..len {
            assert_eq!(
                parse_header(&bytes[..cut]),
                Ok(Parsed::Incomplete),
                "{cut} of {bytes:?}"
            );
        }
    }
}

#[test]
fn what_is_no_proxy_header_is_refused() {
    let long = format!("PROXY UNKNOWN {}", "x".repeat(107));
    for bytes in [
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"PROXX".to_vec(),
        b"PROXY \r\n".to_vec(),
        b"PROXY TCP4\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n".to_vec(),
        b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 host host 1 2\r\n".to_vec(),
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        b"PROXY \xFF\r\n".to_vec(),
        long.into_bytes(),
        v2(0x11, 0x11, &[0; 12]),
        v2(0x22, 0x11, &[0; 12]),
        v2(0x21, 0x12, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x00, &[0; MAX_HEADER_LEN - 15]),
    ] {
        assert_eq!(parse_header(&bytes), Err(HeaderError), "{bytes:?}");
    }
}
