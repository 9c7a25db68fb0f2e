use super::*;
use crate::remote::rest::below;
use reqwest::Url;

fn write(operation: Operation) -> Purpose {
    Purpose::Write { operation, bare: false }
}

fn problem(text: &str, purpose: Purpose) -> Option<TemplateProblem> {
    Template::parse(text, purpose).err().map(|error| {
        assert_eq!(error.template, text);
        error.problem
    })
}

#[test]
fn a_template_that_could_lead_elsewhere_is_refused_with_its_problem() {
    use Operation::{Complete, Create, Delete, Update};
    use TemplateProblem as P;

    for (text, expected) in [
        ("PUT /v1/sessions/{id}", None),
        ("PUT /v1/sessions/{id}/", None),
        ("POST /v1/sessions/{parent}/sets/{id}", None),
        ("PATCH /rest/v1/sessions?id=eq.{id}&select=*", None),
        ("POST /{collection}:upsert", None),
        ("PUT", Some(P::Form)),
        ("/v1/sessions/{id}", Some(P::Form)),
        ("PUT v1/sessions/{id}", Some(P::Form)),
        ("PUT  /v1", Some(P::Form)),
        ("put /v1/{id}", Some(P::UnknownMethod)),
        ("TRACE /v1/{id}", Some(P::UnknownMethod)),
        ("PUT https://evil.example/{id}", Some(P::Absolute)),
        ("PUT //evil.example/{id}", Some(P::Absolute)),
        ("PUT /v1/../{id}", Some(P::BadSegment)),
        ("PUT /v1/./{id}", Some(P::BadSegment)),
        ("PUT /v1/{id}/..", Some(P::BadSegment)),
        ("PUT /v1//{id}", Some(P::BadSegment)),
        ("PUT /v1/%2e%2e/{id}", Some(P::Character('%'))),
        ("PUT /v1\\{id}", Some(P::Character('\\'))),
        ("PUT /v1/ {id}", Some(P::Character(' '))),
        ("PUT /v1/\u{e9}/{id}", Some(P::Character('\u{e9}'))),
        ("PUT /v1/\n{id}", Some(P::Character('\n'))),
        ("PUT /v1/id}", Some(P::Character('}'))),
        ("PUT /v1/{id", Some(P::Character('{'))),
        ("PUT /v1/{id}#top", Some(P::Fragment)),
        ("PUT /v1/{}", Some(P::UnknownPlaceholder(String::new()))),
        ("PUT /v1/{ID}", Some(P::UnknownPlaceholder("ID".to_owned()))),
        ("PUT /v1/{id}?", Some(P::Query)),
        ("PUT /v1/{id}?a", Some(P::Query)),
        ("PUT /v1/{id}?{id}=a", Some(P::Query)),
        ("PUT /v1/{id}?a=b&&c=d", Some(P::Query)),
        ("PUT /v1/{id}?a=b?c", Some(P::Character('?'))),
        ("PUT /v1/{cursor}", Some(P::PlaceholderHere("cursor"))),
        ("GET /v1/{id}", Some(P::MethodHere(Method::Get))),
        ("DELETE /v1/{id}", Some(P::MethodHere(Method::Delete))),
    ] {
        assert_eq!(problem(text, write(Create)), expected, "{text}");
    }
    let bare = |operation| Purpose::Write { operation, bare: true };
    for (text, purpose, expected) in [
        ("DELETE /v1/{id}", write(Delete), None),
        ("POST /v1/{server_id}/archive", write(Delete), None),
        ("DELETE /v1/sessions", write(Delete), Some(P::NoRecord)),
        ("POST /v1/complete", write(Complete), None),
        ("POST /v1/complete", bare(Complete), Some(P::NoRecord)),
        ("POST /v1/{id}/complete", bare(Complete), None),
        ("PUT /v1/{id}", bare(Update), Some(P::NoBody)),
        ("GET /v1/{id}", Purpose::Read, None),
        ("GET /v1", Purpose::Read, Some(P::NoRecord)),
        ("POST /v1/{id}", Purpose::Read, Some(P::MethodHere(Method::Post))),
        ("GET /v1?since={cursor}&limit={limit}", Purpose::Since, None),
        ("GET /v1/{cursor}", Purpose::Since, Some(P::PlaceholderHere("cursor"))),
        ("GET /v1/{id}", Purpose::Since, Some(P::PlaceholderHere("id"))),
        (
            "GET /v1?limit={limit}",
            Purpose::Whole,
            Some(P::PlaceholderHere("limit")),
        ),
        (
            "GET /v1/{collection}",
            Purpose::Probe,
            Some(P::PlaceholderHere("collection")),
        ),
    ] {
        assert_eq!(problem(text, purpose), expected, "{text} {purpose:?}");
    }
    let error = Template::parse("PUT /v1/{key}", write(Create)).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"template "PUT /v1/{key}": the placeholder {key} is not known"#
    );
}

#[test]
fn a_query_value_without_its_cursor_is_left_out() {
    let template = Template::parse("GET /v1/s?a=1&since={cursor}&limit={limit}", Purpose::Since).unwrap();
    let fill = |cursor| {
        let limit = Some("10");
        template.fill(&Values {
            cursor,
            limit,
            ..Values::default()
        })
    };
    assert_eq!(fill(None).unwrap(), "/v1/s?a=1&limit=10");
    assert_eq!(
        fill(Some("2026-11-20T07:00:00+00:00&x=..")).unwrap(),
        "/v1/s?a=1&since=2026-11-20T07%3A00%3A00%2B00%3A00%26x%3D..&limit=10"
    );
}

#[test]
fn an_id_is_one_segment_or_none() {
    let template = Template::parse("PUT /v1/sessions/{id}", write(Operation::Create)).unwrap();
    let fill = |id| {
        template.fill(&Values {
            id,
            ..Values::default()
        })
    };
    for (id, expected) in [
        ("0199-a", "/v1/sessions/0199-a"),
        ("a/b", "/v1/sessions/a%2Fb"),
        ("a?b#c", "/v1/sessions/a%3Fb%23c"),
        ("%2e%2e", "/v1/sessions/%252e%252e"),
        ("...", "/v1/sessions/..."),
        ("a..b", "/v1/sessions/a..b"),
        ("\u{e9} \u{1f4aa}", "/v1/sessions/%C3%A9%20%F0%9F%92%AA"),
        ("\\", "/v1/sessions/%5C"),
        ("@evil.example:80", "/v1/sessions/%40evil.example%3A80"),
    ] {
        assert_eq!(fill(Some(id)).as_deref(), Ok(expected), "{id}");
    }
    for id in [
        "", ".", "..", "../admin", "a/../b", "a\\..", "./a", "a\nb", "\0", "\u{85}",
    ] {
        assert_eq!(fill(Some(id)), Err(Unfit::Misleading(Slot::Id)), "{id:?}");
    }
    assert_eq!(fill(None), Err(Unfit::Missing(Slot::Id)));
    // Two values that are harmless alone.
    let template = Template::parse("PUT /v1/.{id}/x", write(Operation::Create)).unwrap();
    let dot = Values {
        id: Some("~"),
        ..Values::default()
    };
    assert_eq!(template.fill(&dot).as_deref(), Ok("/v1/.~/x"));
}

/// The same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn no_id_changes_the_origin_or_the_resource() {
    const PIECES: &[&str] = &[
        "..",
        ".",
        "/",
        "\\",
        "%2e",
        "%2F",
        "%",
        "?",
        "#",
        "&",
        "=",
        ":",
        "@",
        "//",
        "evil.example",
        "http://",
        "a",
        "\u{e9}",
        "\u{ff0e}",
        "\u{2024}",
        "\t",
        "\r\n",
        "\0",
        " ",
        "{id}",
        "+",
        ";",
        "~",
        "'",
        "\"",
        "<",
        "complete",
    ];
    let templates = [
        "PUT /v1/sessions/{id}",
        "POST /v1/sessions/{parent}/sets/{id}",
        "POST /v1/x-{id}-{parent}/complete",
        "PATCH /v1/s?id=eq.{id}&p={parent}",
    ]
    .map(|text| Template::parse(text, write(Operation::Create)).unwrap());
    let bases = ["https://api.example.com/", "https://api.example.com/base/v2/"].map(|base| Url::parse(base).unwrap());
    let (mut sent, mut refused) = (0, 0);
    for seed in 0..20_000 {
        let mut numbers = Numbers(seed);
        let mut id = || {
            (0..numbers.below(5))
                .map(|_| PIECES[numbers.below(PIECES.len())])
                .collect::<String>()
        };
        let (id, parent) = (id(), id());
        let values = Values {
            id: Some(&id),
            parent: Some(&parent),
            ..Values::default()
        };
        for template in &templates {
            let Ok(endpoint) = template.fill(&values) else {
                refused += 1;
                continue;
            };
            sent += 1;
            for base in &bases {
                let url = below(base, &endpoint).unwrap_or_else(|| panic!("seed {seed}: {id:?} {endpoint}"));
                assert_eq!(url.origin(), base.origin(), "seed {seed}: {id:?}");
                assert!(url.path().starts_with(base.path()), "seed {seed}: {id:?}");
                let depth = |path: &str| path.split('/').count();
                let own = endpoint.split('?').next().unwrap();
                assert_eq!(
                    depth(url.path()),
                    depth(base.path()) + depth(own) - 2,
                    "seed {seed}: {id:?}"
                );
                assert_eq!(template.segments.len(), depth(own) - 1, "seed {seed}: {id:?}");
                if matches!(
                    template.segments.last().map(Vec::as_slice),
                    Some([Part::Slot(Slot::Id)])
                ) {
                    assert_eq!(decoded(url.path().rsplit('/').next().unwrap()), id, "seed {seed}");
                }
                let pairs: Vec<_> = url.query_pairs().collect();
                assert_eq!(pairs.len(), template.query.len(), "seed {seed}: {id:?}");
                if let Some((_, value)) = pairs.first() {
                    assert_eq!(*value, format!("eq.{id}"), "seed {seed}");
                }
            }
        }
    }
    assert!(sent > 10_000 && refused > 10_000, "{sent} sent, {refused} refused");
}

fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
