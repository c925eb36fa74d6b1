//! Just enough of HTML: forms, where a page goes on to, and what people read.
//!
//! Owns a scan over tags that holds for pages that are written with care. It knows no
//! implied tags and runs no scripts.

use std::collections::HashMap;

use hyper::Method;

/// A form as it would be sent.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// How.
    pub(crate) method: Method,
    /// Where to, as written.
    pub(crate) action: String,
    /// Its fields, in their order; choices only where they are made.
    pub(crate) fields: Vec<(String, String)>,
    buttons: Vec<Button>,
}

#[derive(Debug, Clone)]
struct Button {
    says: String,
    field: Option<(String, String)>,
    action: Option<String>,
}

/// One tag and the text after it.
struct Tag<'h> {
    name: String,
    attributes: HashMap<String, String>,
    after: &'h str,
}

impl Form {
    /// Fills in a field, or adds one.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        match self.fields.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Leaves a field out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(key, _)| key != name);
        self
    }

    /// Sends it elsewhere.
    pub(crate) fn send_to(self, action: &str) -> Self {
        Self { action: action.to_owned(), ..self }
    }

    /// What its buttons say.
    pub(crate) fn buttons(&self) -> Vec<&str> {
        self.buttons.iter().map(|button| button.says.as_str()).collect()
    }

    /// The fields as they travel.
    pub(crate) fn encoded(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }

    pub(super) fn pressed(mut self, says: &str) -> Option<Self> {
        let button = self.buttons.iter().find(|button| button.says == says)?.clone();
        self.fields.extend(button.field);
        self.action = button.action.unwrap_or(self.action);
        Some(self)
    }
}

/// All forms of a page.
pub(super) fn forms(html: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let mut open: Option<Form> = None;
    for tag in tags(html) {
        let get = |name: &str| tag.attributes.get(name).cloned();
        match (tag.name.as_str(), &mut open) {
            ("form", _) => {
                forms.extend(open.take());
                let is_post = get("method").is_some_and(|it| it.eq_ignore_ascii_case("post"));
                let method = if is_post { Method::POST } else { Method::GET };
                let action = get("action").unwrap_or_default();
                open = Some(Form { method, action, fields: Vec::new(), buttons: Vec::new() });
            }
            ("/form", _) => forms.extend(open.take()),
            ("input", Some(form)) => add_input(form, &tag),
            ("button", Some(form)) => {
                let end = tag.after.find("</button").unwrap_or(tag.after.len());
                let value = get("value").unwrap_or_default();
                form.buttons.push(Button {
                    says: text(&tag.after[..end]),
                    field: get("name").map(|name| (name, value)),
                    action: get("formaction"),
                });
            }
            ("select", Some(form)) => {
                let end = tag.after.find("</select").unwrap_or(tag.after.len());
                let options: Vec<_> = tags(&tag.after[..end]).collect();
                let chosen = options.iter().find(|it| it.attributes.contains_key("selected"));
                let value = chosen.or(options.first()).and_then(|it| it.attributes.get("value"));
                form.fields.extend(get("name").zip(value.cloned()));
            }
            _ => {}
        }
    }
    forms.extend(open);
    forms
}

fn add_input(form: &mut Form, tag: &Tag<'_>) {
    let get = |name: &str| tag.attributes.get(name).cloned();
    let value = get("value").unwrap_or_default();
    match get("type").as_deref() {
        Some("submit") => {
            let field = get("name").map(|name| (name, value.clone()));
            form.buttons.push(Button { says: value, field, action: get("formaction") });
        }
        Some("checkbox" | "radio") => {
            let is_on = tag.attributes.contains_key("checked");
            let value = get("value").unwrap_or_else(|| "on".to_owned());
            form.fields.extend(get("name").filter(|_| is_on).map(|name| (name, value)));
        }
        _ => form.fields.extend(get("name").map(|name| (name, value))),
    }
}

/// Where a page goes on to by itself, at once.
pub(super) fn refresh(html: &str) -> Option<String> {
    let is_refresh = |tag: &Tag<'_>| {
        let equivalent = tag.attributes.get("http-equiv");
        tag.name == "meta" && equivalent.is_some_and(|it| it.eq_ignore_ascii_case("refresh"))
    };
    let content = tags(html).find(is_refresh)?.attributes.get("content").cloned()?;
    let (_, target) = content.split_once("0;")?;
    let target = target.trim_start();
    Some(target.strip_prefix("url=").unwrap_or(target).to_owned())
}

/// What people can read, with single spaces.
pub(super) fn text(html: &str) -> String {
    let first = html.split('<').next().unwrap_or_default();
    let mut words = unescaped(first);
    for tag in tags(html) {
        if matches!(tag.name.as_str(), "style" | "script" | "title") {
            continue;
        }
        let end = tag.after.find('<').unwrap_or(tag.after.len());
        words.push(' ');
        words.push_str(&unescaped(&tag.after[..end]));
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn tags(html: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = html;
    std::iter::from_fn(move || {
        loop {
            let (_, begun) = rest.split_once('<')?;
            if begun.starts_with("!--") {
                rest = begun.split_once("-->")?.1;
                continue;
            }
            let (tag, after) = tag(begun)?;
            rest = after;
            return Some(tag);
        }
    })
}

/// Reads the tag that `text` begins with, and what comes after it.
fn tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || c == '>')?;
    let name = text[..end].trim_end_matches('/').to_ascii_lowercase();
    let mut attributes = HashMap::new();
    let mut rest = text[end..].trim_start();
    loop {
        rest = rest.trim_start().trim_start_matches('/');
        if let Some(after) = rest.strip_prefix('>') {
            return Some((Tag { name, attributes, after }, after));
        }
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>'))?;
        let key = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            (value, rest) = match after.chars().next()? {
                quote @ ('"' | '\'') => after[1..].split_once(quote)?,
                _ => after.split_at(after.find(|c: char| c.is_whitespace() || c == '>')?),
            };
        }
        attributes.entry(key).or_insert_with(|| unescaped(value));
    }
}

/// Text with its character references replaced.
fn unescaped(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once('&') {
        whole.push_str(before);
        let Some((name, after)) = reference.split_once(';') else {
            whole.push('&');
            rest = reference;
            continue;
        };
        let number = name.strip_prefix("#x").map(|hex| u32::from_str_radix(hex, 16));
        let number = number.or_else(|| name.strip_prefix('#').map(str::parse));
        let c = match (name, number) {
            ("amp", _) => Some('&'),
            ("lt", _) => Some('<'),
            ("gt", _) => Some('>'),
            ("quot", _) => Some('"'),
            ("apos", _) => Some('\''),
            ("nbsp", _) => Some(' '),
            (_, Some(Ok(code))) => char::from_u32(code),
            _ => None,
        };
        match c {
            Some(c) => {
                whole.push(c);
                rest = after;
            }
            None => {
                whole.push('&');
                rest = reference;
            }
        }
    }
    whole + rest
}
