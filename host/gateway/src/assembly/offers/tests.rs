use super::*;

fn crm() -> ConnectorId {
    ConnectorId::new("crm").unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

#[test]
fn a_tool_that_vanished_is_remembered_until_it_is_back() {
    let of = |names: &[&str]| {
        let tools: Vec<String> = names
            .iter()
            .map(|name| format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#))
            .collect();
        json(&format!(r#"{{"tools":[{}]}}"#, tools.join(",")))
    };
    let gone = |earlier: &[&Json], now: Json| gone(&crm(), earlier.iter().copied(), &now);
    let first = gone(&[&of(&["a", "b"])], of(&["b"]));
    assert_eq!(first, of(&["a"]));
    let second = gone(&[&of(&["b"]), &first], of(&["c"]));
    assert_eq!(second, of(&["b", "a"]));
    let third = gone(&[&of(&["c"]), &second], of(&["a", "c"]));
    assert_eq!(third, of(&["b"]));
}

#[test]
fn an_offer_comes_back_from_its_record_byte_for_byte() {
    let text = concat!(
        r#"{"tools":[{"name":"find",  "inputSchema":{"type":"object"},"x":1.0}],"#,
        r#""prompts":[{"name":"greet","arguments":[{"name":"who" }]}],"#,
        r#""resources":[{"uri":"file:///a","name":"a"},{"uri":"file:///\u00e9","name":"e"}],"#,
        r#""resourceTemplates":[{"uriTemplate":"file:///{name}","name":"any"}],"#,
        r#""features":{"modern":true,"prompts":true,"resources":true,"subscribe":true,"#,
        r#""completions":false,"logging":true,"tasks":{"list": {}},"#,
        r#""extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":[ ]},"a\"b":{}}}}"#,
    );
    let offer = approved(&crm(), &json(text), None);
    assert_eq!(record(&offer).as_str(), text);
    assert_eq!(offer.tools[0].name.as_str(), "find");
    assert_eq!(offer.prompts[0].name.as_str(), "greet");
    assert_eq!(&*offer.resources[1].uri, "file:///é");
    assert_eq!(&*offer.templates[0].template, "file:///{name}");
    let features = &offer.features;
    assert!(features.modern && features.subscribe && features.logging && !features.completions);
    assert_eq!(features.tasks, Some(json(r#"{"list": {}}"#)));
    assert_eq!(&*features.extensions[1].0, "a\"b");
    assert_eq!(approved(&crm(), &record(&Offer::default()), None), Offer::default());
}

#[test]
fn a_record_of_tools_alone_is_still_a_record() {
    let old = json(r#"{"tools":[{"name":"find","inputSchema":{"type":"object"}}]}"#);
    let offer = approved(&crm(), &old, None);
    assert_eq!(offer.tools.len(), 1);
    assert_eq!(offer, Offer { tools: Arc::clone(&offer.tools), ..Offer::default() });
}

#[test]
fn a_list_on_record_that_cannot_be_read_costs_the_others_nothing() {
    let odd =
        json(r#"{"tools":[],"prompts":7,"resources":[{"uri":"a:1","name":"a"},4],"features":[]}"#);
    let offer = approved(&crm(), &odd, None);
    assert_eq!((offer.prompts.len(), offer.resources.len()), (0, 1));
    assert_eq!(offer.features, Features::default());
}

#[test]
fn classes_of_the_administrator_are_laid_over_the_hints_of_the_server() {
    let hinted = json(
        r#"{"tools":[{"name":"find","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}"#,
    );
    let class = ClassConfig { read_only: Some(false), ..ClassConfig::default() };
    let classes = BTreeMap::from([("find".to_owned(), class)]);
    assert!(approved(&crm(), &hinted, None).tools[0].class.read_only);
    assert!(!approved(&crm(), &hinted, Some(&classes)).tools[0].class.read_only);
}
