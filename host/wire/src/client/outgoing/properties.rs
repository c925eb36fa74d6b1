//! What a client wrote leaves as it was written, whatever it is.

use proptest::prelude::*;

use super::*;
use crate::{
    client::ClientCan,
    json::{
        Limits, check,
        texts::{any_text, members_text, object_text},
    },
};

/// A `_meta` object with members of the client's own and some that belong to one hop.
fn any_meta() -> impl Strategy<Value = (Vec<(String, String)>, String)> {
    let own = members_text(any_text(), 0..5);
    let names: Vec<_> = meta::OF_ONE_HOP.into_iter().chain(TRACE).collect();
    let of_hop = prop::sample::subsequence(names.clone(), 0..=names.len());
    (own, of_hop, any::<prop::sample::Index>()).prop_flat_map(|(own, of_hop, place)| {
        let mut all = own.clone();
        let place = place.index(all.len() + 1);
        let hostile = of_hop.into_iter().map(|name| (name.to_owned(), "\"theirs\"".to_owned()));
        all.splice(place..place, hostile);
        (Just(own), object_text(all))
    })
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn unescaped(key: &str) -> String {
    let quoted = format!("\"{key}\"");
    Raw::from_checked(&quoted).string().unwrap().into_owned()
}

proptest! {
    #[test]
    fn parts_leave_as_they_came(
        (own, meta_text) in any_meta(),
        arguments in any_text(),
        responses in prop::option::of(any_text()),
        state in prop::option::of(any::<String>()),
        name in any::<String>(),
        id: u64,
        modern: bool,
        progress: bool,
    ) {
        let (arguments, meta_json) = (json(&arguments), json(&meta_text));
        let given = Given { responses: responses.as_deref().map(json), state: state.as_deref().map(Into::into) };
        let params = [("name", Member::Text(&name)), ("arguments", Member::Json(&arguments))];
        let exchange = Exchange { can: ClientCan::default(), progress, ..Exchange::default() };
        let outgoing = Outgoing {
            method: "tools/call",
            params: &params,
            meta: Some(&meta_json),
            exchange: Some(&exchange),
            given: Some(&given),
            ..Outgoing::default()
        };
        let revision = if modern { Revision::V2026_07_28 } else { Revision::V2025_11_25 };
        let out = outgoing.write(id, revision);
        prop_assert_eq!(check(&out, &Limits::REQUEST), Ok(()));
        let text = std::str::from_utf8(&out).unwrap();
        let whole = Raw::from_checked(text);
        prop_assert_eq!(whole.get("id").unwrap().as_str(), id.to_string());
        let sent = whole.get("params").unwrap();
        prop_assert_eq!(sent.get("name").unwrap().string().unwrap(), name);
        prop_assert_eq!(sent.get("arguments").unwrap().as_str(), arguments.as_str());
        let found = sent.get("inputResponses").map(Raw::as_str);
        prop_assert_eq!(found, given.responses.as_ref().map(Json::as_str));
        let found = sent.get("requestState").and_then(Raw::string);
        prop_assert_eq!(found.as_deref(), given.state.as_deref());

        // The client's own members, in their order; of the hop's only what this hop says.
        let members: Vec<_> = sent.get("_meta").into_iter().flat_map(Raw::members).collect();
        let theirs: Vec<_> = members.iter()
            .filter(|member| !meta::OF_ONE_HOP.contains(&&*member.key))
            .map(|member| (member.key.clone().into_owned(), member.value.as_str().to_owned()))
            .collect();
        let expected: Vec<_> =
            own.iter().map(|(key, value)| (unescaped(key), value.clone())).collect();
        prop_assert_eq!(theirs, expected);
        prop_assert!(members.iter().all(|member| member.value.as_str() != "\"theirs\""), "{}", text);
        let token = sent.get("_meta").and_then(|meta| meta.get(meta::PROGRESS_TOKEN));
        let expected = progress.then(|| id.to_string());
        prop_assert_eq!(token.map(|token| token.as_str().to_owned()), expected);
    }
}
