//! What is relayed stays what it was, as properties over arbitrary JSON text: outside the
//! spans that are exchanged every byte, entries of lists as slices, ids as they were written.

use proptest::prelude::*;
use tidegate_model::{ConnectorId, Json};

use super::{
    envelope::{self, Id, Message},
    lists::Entries,
    splice::{self, Edit},
    tools::Listing,
};
use crate::json::{
    Kind, Limits, Raw, check, checked,
    texts::{any_text, members_text, number_text, object_text, string_text},
};

fn crm() -> ConnectorId {
    ConnectorId::new("crm").unwrap()
}

fn page(text: String) -> Json {
    checked(text.into(), &Limits::RESPONSE).unwrap()
}

/// An object's members as (key, text from the key's quote to the value's end).
fn spans(object: &str) -> Vec<(String, &str)> {
    let members = Raw::from_checked(object).members();
    members
        .map(|member| {
            let end = member.value_start + member.value.as_str().len();
            (member.key.into_owned(), &object[member.key_start..end])
        })
        .collect()
}

/// The text with the value of every member that is named exchanged, by nothing but spans.
fn with_values(object: &str, values: &[(String, String)]) -> String {
    let mut text = object.to_owned();
    let members: Vec<_> = Raw::from_checked(object).members().collect();
    for member in members.iter().rev() {
        if let Some((_, new)) = values.iter().find(|(key, _)| *key == member.key) {
            let start = member.value_start;
            text.replace_range(start..start + member.value.as_str().len(), new);
        }
    }
    text
}

/// An object, and what happens to some of its members and to some that it does not have.
fn object_and_edits() -> impl Strategy<Value = (String, Vec<(String, Option<String>)>)> {
    let change = prop::option::of(prop::option::of(any_text()));
    let members = members_text(any_text(), 0..7);
    let changes = prop::collection::vec(change, 7);
    let new = prop::collection::btree_map("new[a-z]", prop::option::of(any_text()), 0..3);
    (members.prop_flat_map(object_text), changes, new).prop_map(|(text, changes, new)| {
        let keys = Raw::from_checked(&text).members().map(|member| member.key.into_owned());
        let named = keys.zip(changes).filter_map(|(key, change)| Some((key, change?)));
        let edits = named.chain(new).collect();
        (text, edits)
    })
}

fn edits<'e>(changes: &'e [(String, Option<String>)]) -> Vec<Edit<'e>> {
    let edit = |(key, value): &'e (String, Option<String>)| match value {
        Some(value) => Edit::set(key, Raw::from_checked(value)),
        None => Edit::remove(key),
    };
    changes.iter().map(edit).collect()
}

/// Entries of a list: some that are usable once they have these members, some that are not.
fn entries(
    members: impl Fn(usize) -> Vec<(String, String)> + Clone + 'static,
) -> impl Strategy<Value = Vec<String>> {
    let good = members_text(any_text(), 0..4);
    let entry = prop_oneof![any_text().prop_map(Err), good.prop_map(Ok)];
    prop::collection::vec(entry, 0..6).prop_flat_map(move |entries| {
        let texts = entries.into_iter().enumerate().map(|(n, entry)| match entry {
            Ok(more) => object_text(more.into_iter().chain(members(n)).collect()).boxed(),
            Err(text) => Just(text).boxed(),
        });
        texts.collect::<Vec<_>>()
    })
}

fn named(n: usize) -> Vec<(String, String)> {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    vec![
        pair("name", format!("\"n\\u002d{n}\"")),
        pair("uri", format!("\"a:\\/{n}\"")),
        pair("uriTemplate", format!("\"a:{{x}}{n}\"")),
        pair("inputSchema", r#"{ "type" : "object", "const": 1.00 }"#.to_owned()),
    ]
}

/// Each definition is a slice of the page, and the entry's own text.
fn check_slices<'a>(
    page: &Json,
    entries: &[String],
    definitions: impl Iterator<Item = &'a Json>,
) -> Result<(), TestCaseError> {
    let buffer = page.bytes().as_ptr_range();
    let mut left = entries.iter();
    for definition in definitions {
        let range = definition.bytes().as_ptr_range();
        prop_assert!(buffer.start <= range.start && range.end <= buffer.end, "a copy was made");
        prop_assert!(left.any(|entry| entry.trim() == definition.as_str()), "none of the entries");
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_the_text_it_is_json(text in any_text()) {
        prop_assert_eq!(check(text.as_bytes(), &Limits::REQUEST), Ok(()));
    }

    #[test]
    fn an_exchanged_value_moves_no_other_byte((text, changes) in object_and_edits()) {
        let sets: Vec<_> = changes.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .filter(|(key, _)| Raw::from_checked(&text).get(key).is_some())
            .collect();
        let all: Vec<_> =
            sets.iter().map(|(key, value)| Edit::set(key, Raw::from_checked(value))).collect();
        let spliced = splice::object(Raw::from_checked(&text), &all).unwrap();
        prop_assert_eq!(spliced.as_str(), with_values(&text, &sets));
    }

    #[test]
    fn members_that_are_not_named_stay_byte_for_byte((text, changes) in object_and_edits()) {
        let spliced = splice::object(Raw::from_checked(&text), &edits(&changes)).unwrap();
        prop_assert_eq!(check(spliced.bytes(), &Limits::REQUEST), Ok(()));
        let named = |key: &str| changes.iter().any(|(name, _)| name == key);
        let untouched = |text| -> Vec<_> {
            spans(text).into_iter().filter(|(key, _)| !named(key)).collect()
        };
        prop_assert_eq!(untouched(spliced.as_str()), untouched(text.as_str()));
        for (key, value) in &changes {
            let found = Raw::from_checked(spliced.as_str()).get(key).map(Raw::as_str);
            prop_assert_eq!(found, value.as_deref());
        }
    }

    #[test]
    fn deep_edits_touch_one_member_alone(
        (inner, changes) in object_and_edits(), outside in members_text(any_text(), 0..4),
        place in any::<prop::sample::Index>(),
    ) {
        let mut members = outside;
        members.insert(place.index(members.len() + 1), ("_meta".to_owned(), inner.clone()));
        let all = members.iter().map(|(key, value)| format!(" \"{key}\" :\t{value}\n"));
        let text = format!("{{{}}}", all.collect::<Vec<_>>().join(","));
        let edits = edits(&changes);
        let spliced = splice::object(Raw::from_checked(&text), &[Edit::within("_meta", &edits)]);
        let alone = splice::object(Raw::from_checked(&inner), &edits).unwrap();
        let expected = with_values(&text, &[("_meta".to_owned(), alone.as_str().to_owned())]);
        let spliced = spliced.unwrap();
        prop_assert_eq!(spliced.as_str(), expected);
    }

    #[test]
    fn every_listed_entry_is_a_slice_of_its_page(
        (entries, more) in (entries(named), members_text(any_text(), 0..3)),
    ) {
        let of = |member: &str| {
            let mut all = more.clone();
            all.insert(all.len() / 2, (member.to_owned(), format!("[{}]", entries.join(" , "))));
            let all = all.iter().map(|(key, value)| format!("\"{key}\": {value}"));
            page(format!("{{{}}}", all.collect::<Vec<_>>().join(",")))
        };
        let tools = of("tools");
        let mut listing = Listing::new(crm());
        listing.add_page(&tools).unwrap();
        prop_assert_eq!(listing.tools.len() + listing.skipped.len(), entries.len());
        check_slices(&tools, &entries, listing.tools.iter().map(|one| &one.tool.definition))?;
        let schema = &named(0)[3].1;
        let mut schemas = listing.tools.iter().map(|one| one.tool.input_schema.as_str());
        prop_assert!(schemas.all(|one| one == schema));
        macro_rules! check_list {
            ($member:literal, $list:expr) => {
                let whole = of($member);
                let mut list = $list;
                list.add_page(&whole).unwrap();
                prop_assert_eq!(list.seen(), entries.len());
                prop_assert_eq!(list.usable.len(), listing.tools.len(), $member);
                check_slices(&whole, &entries, list.usable.iter().map(|one| &one.definition))?;
            };
        }
        check_list!("prompts", Entries::prompts(crm()));
        check_list!("resources", Entries::resources(crm()));
        check_list!("resourceTemplates", Entries::templates(crm()));
    }

    #[test]
    fn an_id_of_any_form_comes_back_or_is_none(id in any_text(), result in any_text()) {
        let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"x\"}}");
        let raw = Raw::from_checked(&id);
        let whole = raw.as_str().trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
        let is_id = raw.kind() == Kind::String || (raw.kind() == Kind::Number && whole);
        prop_assert_eq!(Message::parse(Raw::from_checked(&text)).is_ok(), is_id, "{}", id);
        if let Ok(message) = Message::parse(Raw::from_checked(&text)) {
            let result = page(result);
            let mut out = Vec::new();
            envelope::result(&mut out, message.id().unwrap(), &result);
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{}}}"#, result.as_str());
            prop_assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        }
    }

    #[test]
    fn no_spelling_evades_a_search(
        word in prop::sample::select(vec!["resultType", "io.modelcontextprotocol/x", "taskId"]),
        ways in prop::collection::vec(0..4_u8, 30),
        around in prop::collection::vec("[a-z]{0,8}", 2),
    ) {
        let spelled = |(c, way): (char, u8)| match (c, way) {
            (_, 0) => format!("\\u{:04x}", u32::from(c)),
            (_, 1) => format!("\\u{:04X}", u32::from(c)),
            ('/', 2) => "\\/".to_owned(),
            _ => c.to_string(),
        };
        let inner: String = word.chars().zip(ways).map(spelled).collect();
        let text = format!("[\"{}\",{{\"{inner}\":1}},\"{}\"]", around[0], around[1]);
        let raw = Raw::from_checked(&text);
        prop_assert!(raw.elements().any(|element| element.get(word).is_some()));
        prop_assert!(raw.may_say(word), "{}", text);
        let without = format!("[\"{}\",\"\\n\\\\\"]", around[0]);
        prop_assert!(!Raw::from_checked(&without).may_say(word), "{}", without);
    }

    #[test]
    fn ids_are_equal_when_they_mean_the_same(one in string_text(), two in number_text()) {
        let read = |text: &str| Id::read(Raw::from_checked(text)).map(Id::into_owned);
        let text = Raw::from_checked(&one).string().unwrap().into_owned();
        let plain = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(read(&one), read(&plain));
        prop_assert!(read(&one) != read(&two), "text is never a number");
        prop_assert_eq!(read(&two).map(|id| id.as_str() == two), read(&two).map(|_| true));
    }
}
