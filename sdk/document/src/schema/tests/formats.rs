//! What each format takes.

use serde_json::json;

use super::{super::format::Format, compiled};

#[test]
fn formats_take_what_their_standards_say() {
    for (format, good, bad) in [
        (
            "date-time",
            &[
                "1963-06-19T08:30:06.283185Z",
                "1990-12-31T15:59:59-08:00",
                "1998-12-31T23:59:60Z",
                "1998-12-31T15:59:60.123-08:00",
                "1963-06-19t08:30:06z",
                "2024-02-29T00:00:00+14:00",
            ][..],
            &[
                "1998-12-31T23:59:61Z",
                "1998-12-31T23:58:60Z",
                "1990-02-31T15:59:59.123-08:00",
                "1990-12-31T15:59:59-24:00",
                "1963-06-19T08:30:06.28123+01:00Z",
                "06/19/1963 08:30:06 PST",
                "2013-350T01:01:01",
                "1963-6-19T08:30:06Z",
                "1963-06-19T08:30:06",
                "1963-06-1৪T00:00:00Z",
                "2023-02-29T00:00:00Z",
                "2020-01-01T25:00:00Z",
                "2020-01-01 00:00:00Z",
                "2020-01-01T00:00:00.Z",
                "",
                "T",
            ][..],
        ),
        (
            "date",
            &["1963-06-19", "2020-02-29", "2000-02-29"],
            &[
                "2021-02-29",
                "1900-02-29",
                "2020-13-01",
                "2020-00-01",
                "2020-04-31",
                "06/19/1963",
                "1998-1-20",
                "1963-06-1৪",
                "20230328",
                "",
            ],
        ),
        (
            "time",
            &["08:30:06Z", "23:59:60Z", "01:29:60+01:30", "08:30:06.283185Z", "08:30:06+23:59"],
            &[
                "008:030:006Z",
                "8:3:6Z",
                "22:59:60Z",
                "24:00:00Z",
                "00:60:00Z",
                "08:30:06",
                "08:30:06-8:000",
                "08:30:06#00:20",
                "12:00:00.1é",
            ],
        ),
        (
            "duration",
            &["P4DT12H30M5S", "P4Y", "PT0S", "P0D", "P1M", "PT1M", "PT36H", "P1DT12H", "P2W", "P1Y2M3D"],
            &["PT1D", "P", "P1YT", "PT", "P2D1Y", "P1D2H", "P2S", "P1Y2W", "1D", "P1", "P২Y", "P-1D", "P1Y2D", ""],
        ),
        (
            "email",
            &["joe.bloggs@example.com", "te~st@example.com", "a+b@x-y.org"],
            &[
                "2962",
                ".test@example.com",
                "test.@example.com",
                "te..st@example.com",
                "a@b@c",
                "@example.com",
                "joe@",
                "joe@-x.com",
                "joe bloggs@example.com",
            ],
        ),
        (
            "hostname",
            &["www.example.com", "xn--4gbwdl.xn--wgbh1c", "localhost", "1host", "a-b"],
            &["-a-host", "a-host-", "not_a_host", "a..b", ".a", "a.", "é.com", ""],
        ),
        (
            "ipv4",
            &["192.168.0.1", "0.0.0.0"],
            &["127.0.0.0.1", "256.0.0.1", "127.0", "0x7f000001", "087.10.0.1", "1२7.0.0.1", "192.168.1.0/24", ""],
        ),
        (
            "ipv6",
            &["::1", "::", "2001:db8::1", "::ffff:192.168.0.1", "1:2:3:4:5:6:7:8"],
            &["12345::", ":2:3:4:5:6:7:8", "1::d6::42", "fe80::a%eth1", "::1/64", "1:2:3:4:5:6:7", "::laptop", ""],
        ),
        (
            "uri",
            &[
                "http://foo.bar/?baz=qux#quuz",
                "http://foo.com/blah_(wikipedia)_blah#cite-1",
                "http://-.~_!$&'()*+,;=:%40:80%2f::::::@example.com",
                "ldap://[2001:db8::7]/c=GB?objectClass?one",
                "mailto:John.Doe@example.com",
                "urn:oasis:names:x",
                "tel:+1-816-555-1212",
                "file:///etc/hosts",
            ],
            &[
                "//foo.bar/?baz=qux#quuz",
                "/abc",
                "\\\\WINDOWS\\share",
                "abc",
                "http:// x",
                ":// should fail",
                "bar,baz:foo",
                "http://a/%zz",
                "http://[::1",
                "http://a:b/",
                "https://é.com",
                "1http://x",
                "",
            ],
        ),
        (
            "uri-reference",
            &["http://foo.bar/?baz#q", "//foo.bar/?baz=qux", "/abc", "abc", "#fragment", "", "?a=b", "../x"],
            &["\\\\WINDOWS\\share", "#frag\\ment", "a b", "a%z", "a[b"],
        ),
        (
            "uuid",
            &[
                "2EB8AA08-AA98-11EA-B4AA-73B441D16380",
                "2eb8aa08-aa98-11ea-b4aa-73b441d16380",
                "00000000-0000-0000-0000-000000000000",
            ],
            &[
                "2eb8aa08-aa98-11ea-b4aa-73b441d1638",
                "2eb8aa08aa9811eab4aa73b441d16380",
                "2eb8-aa08-aa98-11ea-b4aa73b44-1d16380",
                "2eb8aa08-aa98-11ea-b4aa-73b441d1638g",
                "",
            ],
        ),
        (
            "json-pointer",
            &["/foo/bar~0/baz~1/%a", "", "/", "/foo//bar", "/~01"],
            &["/foo/bar~", "/~2", "#", "#/", "a", "0", "a/a"],
        ),
        (
            "relative-json-pointer",
            &["1", "0/foo/bar", "2/0/baz/1/zip", "0#", "120/foo"],
            &["/foo/bar", "-1/foo", "0##", "01/a", "01#", "", "1/~2"],
        ),
        ("regex", &["([abc])+\\s+$", "^\\p{L}+$", ""], &["^(abc]", "\\1", "(?=a)", "a{2,1}", "*"]),
    ] {
        let schema = compiled(&json!({ "format": format }));
        for text in good {
            assert_eq!(schema.check(&json!(text)), Ok(()), "{format}: {text}");
        }
        for text in bad {
            assert!(schema.check(&json!(text)).is_err(), "{format}: {text}");
        }
        for other in [json!(1), json!(null), json!({}), json!([]), json!(true)] {
            assert_eq!(schema.check(&other), Ok(()), "{format} is about strings");
        }
        assert!(Format::NAMES.contains(&format));
    }
}

#[test]
fn no_text_breaks_a_format() {
    use proptest::prelude::*;
    proptest!(|(text in "\\PC{0,40}|[0-9TZ:.+P-]{0,40}|[a-z:/?#\\[\\]@%0-9]{0,40}")| {
        for name in Format::NAMES {
            let _ = Format::named(name).unwrap().matches(&text);
        }
    });
}
