//! Arbitrary JSON as text, for properties: every white space, escape and number that the
//! grammar has, which no serializer would write.
//!
//! Owns the strategies alone. Keys of one object differ; nothing else is held back.

use proptest::prelude::*;

/// White space where JSON may have it.
fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\t", "\n", "\r\n  "])
}

/// What stands between the quotes of a string: plain, escaped and beyond ASCII.
fn inner_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -!$-\\[\\]-~]{0,4}",
        2 => prop::sample::select(vec![
            "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0061", "\\u0000",
            "\\uFFFF", "\\ud83d\\ude00", "\u{7f}", "é", "\u{2028}", "😀", "ſ",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// A string, quotes included.
pub(crate) fn string_text() -> impl Strategy<Value = String> {
    inner_text().prop_map(|inner| format!("\"{inner}\""))
}

/// A number, of any size and spelling.
pub(crate) fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,5})?",
        1 => "[1-9][0-9]{390,400}",
    ]
}

/// The members of an object, each as a key without its quotes and a value. No two keys say
/// the same: what they end with differs.
pub(crate) fn members_text(
    value: impl Strategy<Value = String>,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((inner_text(), value), count).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered.map(|(n, (key, value))| (format!("{key}#{n}"), value)).collect()
    })
}

/// An object of these members, with white space anywhere.
pub(crate) fn object_text(members: Vec<(String, String)>) -> impl Strategy<Value = String> {
    let spaces = prop::collection::vec(space(), 4 * members.len() + 1);
    spaces.prop_map(move |spaces| {
        let mut spaces = spaces.into_iter();
        let mut next = || spaces.next().unwrap_or_default();
        let each = members.iter().map(|(key, value)| {
            let (a, b, c, d) = (next(), next(), next(), next());
            format!("{a}\"{key}\"{b}:{c}{value}{d}")
        });
        let all = each.collect::<Vec<_>>().join(",");
        format!("{{{all}{}}}", if members.is_empty() { next() } else { "" })
    })
}

/// Any value.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        number_text(),
        string_text(),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let elements = prop::collection::vec((space(), inner.clone(), space()), 0..5);
        prop_oneof![
            elements.prop_map(|all| {
                let each = all.into_iter().map(|(a, value, b)| format!("{a}{value}{b}"));
                format!("[{}]", each.collect::<Vec<_>>().join(","))
            }),
            members_text(inner, 0..5).prop_flat_map(object_text),
        ]
    })
}
