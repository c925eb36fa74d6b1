//! From policy files to parsed policies with an identity.
//!
//! Finds syntax errors, wrong annotations, repeated ids and names of things that do not
//! exist. Whether conditions make sense is for `check`.

use std::collections::HashMap;

use cedar_policy::{
    EntityUid, ParseErrors, Policy, PolicyId, PrincipalConstraint, ResourceConstraint,
};
use miette::Diagnostic;

use super::{
    builtin,
    input::{Effect, Mode, PolicyFile, PolicyInfo, Problem},
    mention::Mentions,
    text::{self, Lines, Piece},
    world::World,
};

/// One policy, parsed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) info: PolicyInfo,
    pub(super) policy: Policy,
    pub(super) mentions: Mentions,
    /// The ids of all actions it names.
    pub(super) actions: Vec<String>,
    /// Whether its conditions can be checked: everything it names has been seen.
    pub(super) checkable: bool,
    file: usize,
    offset: usize,
}

/// Policies and problems, as they come up file by file.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    files: &'a [PolicyFile],
    /// How many of the files are the organisation's; the rest are the gateway's.
    own: usize,
    lines: Vec<Lines<'a>>,
    world: &'a World,
    base_actions: Vec<String>,
    seen: HashMap<String, usize>,
    pub(super) entries: Vec<Entry>,
    problems: Vec<((usize, usize), Problem)>,
}

const ANNOTATIONS: [&str; 3] = ["id", "reason", "mode"];

impl<'a> Reading<'a> {
    /// Reads all files, of which the first `own` are the organisation's. `base_actions` are
    /// the actions that exist without any tool.
    pub(super) fn new(
        (files, own): (&'a [PolicyFile], usize),
        world: &'a World,
        base_actions: Vec<String>,
    ) -> Self {
        let (seen, entries, problems) = (HashMap::new(), Vec::new(), Vec::new());
        let lines = files.iter().map(|file| Lines::new(&file.text)).collect();
        let mut reading = Self { files, own, lines, world, base_actions, seen, entries, problems };
        for (index, file) in files.iter().enumerate() {
            for (nth, piece) in text::pieces(&file.text).into_iter().enumerate() {
                reading.policy(index, nth + 1, piece);
            }
        }
        reading
    }

    /// How many policies are the organisation's; these come first.
    pub(super) fn own(&self) -> usize {
        self.entries.iter().take_while(|entry| entry.file < self.own).count()
    }

    /// What was wrong, in the order of the files.
    pub(super) fn into_parts(mut self) -> (Vec<Entry>, Vec<Problem>) {
        self.problems.sort_by(|(a, p), (b, q)| a.cmp(b).then_with(|| p.message.cmp(&q.message)));
        // One sentence per place: the validator repeats itself for every kind of tool.
        self.problems.dedup_by(|(a, _), (b, _)| a == b);
        (self.entries, self.problems.into_iter().map(|(_, problem)| problem).collect())
    }

    /// Notes a problem of the policy at `index`, `at` bytes into its text.
    pub(super) fn problem(
        &mut self,
        index: usize,
        at: usize,
        message: String,
        suggestion: Option<String>,
    ) {
        let Some(entry) = self.entries.get(index) else { return };
        let (file, offset, id) = (entry.file, entry.offset + at, entry.info.id.clone());
        self.note(file, offset, Some(id), (message, suggestion));
    }

    /// The text of the policy at `index`.
    pub(super) fn text(&self, index: usize) -> &'a str {
        let entry = self.entries.get(index);
        let text = entry.and_then(|e| self.files.get(e.file)?.text.get(e.offset..));
        text.unwrap_or_default()
    }

    fn position(&self, file: usize, offset: usize) -> (usize, usize) {
        self.lines.get(file).map_or((1, 1), |lines| lines.position(offset))
    }

    fn note(
        &mut self,
        file: usize,
        offset: usize,
        policy: Option<String>,
        (message, suggestion): (String, Option<String>),
    ) {
        let Some(source) = self.files.get(file) else { return };
        let (line, column) = self.position(file, offset);
        let file_name = source.name.clone();
        let problem = Problem { file: file_name, line, column, policy, message, suggestion };
        self.problems.push(((file, offset), problem));
    }

    fn policy(&mut self, file: usize, nth: usize, piece: Piece<'a>) {
        let parsed = match Policy::parse(None, piece.text) {
            Ok(parsed) => parsed,
            Err(errors) => return self.unparsed(file, piece, &errors),
        };
        let Some(source) = self.files.get(file) else { return };
        let id = match parsed.annotation("id") {
            Some(id) => id.to_owned(),
            None => format!("{}:{nth}", source.name),
        };
        let (line, _) = self.position(file, piece.offset);
        let wrong = self.wrong_annotations(&parsed, &id, file < self.own);
        for (annotation, message, suggestion) in wrong {
            let at = find(piece.text, &format!("@{annotation}"));
            self.note(file, piece.offset + at, Some(id.clone()), (message, suggestion));
        }
        let index = self.entries.len();
        self.seen.entry(id.clone()).or_insert(index);
        let info = PolicyInfo {
            file: source.name.clone(),
            line,
            effect: match parsed.effect() {
                cedar_policy::Effect::Permit => Effect::Permit,
                cedar_policy::Effect::Forbid => Effect::Forbid,
            },
            mode: match parsed.annotation("mode") {
                Some("shadow") => Mode::Shadow,
                _ => Mode::Enforce,
            },
            reason: parsed.annotation("reason").map(str::to_owned),
            flags: Vec::new(),
            id,
        };
        let literals = parsed.entity_literals();
        let actions = literals.iter().filter(|name| *name.type_name() == self.world.types.action);
        let actions = actions.map(|name| name.id().unescaped().to_owned()).collect();
        self.entries.push(Entry {
            mentions: Mentions::of(&parsed),
            policy: parsed.new_id(PolicyId::new(&info.id)),
            info,
            actions,
            checkable: true,
            file,
            offset: piece.offset,
        });
        self.scope(index, piece.text);
        for name in literals {
            self.literal(index, piece.text, &name);
        }
    }

    fn unparsed(&mut self, file: usize, piece: Piece<'_>, errors: &ParseErrors) {
        for error in errors.iter() {
            let at = piece.offset + offset_of(error).unwrap_or_default();
            self.note(file, at, None, explain(error, &error.to_string()));
        }
    }

    fn wrong_annotations(
        &self,
        parsed: &Policy,
        id: &str,
        is_own: bool,
    ) -> Vec<(String, String, Option<String>)> {
        let mut wrong = Vec::new();
        let mut add = |name: &str, message: String, suggestion: Option<&str>| {
            wrong.push((name.to_owned(), message, suggestion.map(str::to_owned)));
        };
        for (name, value) in parsed.annotations() {
            match name {
                "id" if value.is_empty() => add(name, "`@id` needs a name".into(), None),
                "id" if is_own && value.starts_with(builtin::PREFIX) => {
                    add(name, "ids that start with `builtin:` are the gateway's own".into(), None);
                }
                "reason" if value.trim().is_empty() => {
                    add(name, "`@reason` needs a sentence for the person refused".into(), None);
                }
                "mode" if value != "shadow" && value != "enforce" => {
                    let message = format!("`@mode` is `shadow` or `enforce`, not `{value}`");
                    add(name, message, text::nearest(value, ["shadow", "enforce"]));
                }
                name if !ANNOTATIONS.contains(&name) => {
                    if let Some(near) = text::nearest(name, ANNOTATIONS) {
                        add(name, format!("there is no annotation `@{name}`"), Some(near));
                    }
                }
                _ => {}
            }
        }
        let first = self.seen.get(id).and_then(|index| self.entries.get(*index));
        // Whoever took an id of the gateway's has been told so.
        if let Some(first) = first.filter(|_| is_own) {
            let (file, line) = (&first.info.file, first.info.line);
            let message = format!("the id `{id}` is taken by the policy at {file}:{line}");
            add("id", message, None);
        }
        wrong
    }

    /// Checks that principal and resource could be of the types that the scope asks for.
    fn scope(&mut self, index: usize, text: &str) {
        use PrincipalConstraint as Who;
        use ResourceConstraint as What;
        const CALLERS: [&str; 4] = ["User", "Agent", "Group", "Role"];
        const THINGS: [&str; 6] = ["Tool", "Connector", "VirtualMcp", "Org", "Prompt", "Resource"];
        let Some(entry) = self.entries.get(index) else { return };
        let who = match entry.policy.principal_constraint() {
            Who::Any => None,
            Who::In(name) | Who::Eq(name) => Some(name.type_name().to_string()),
            Who::Is(of) | Who::IsIn(of, _) => Some(of.to_string()),
        };
        let what = match entry.policy.resource_constraint() {
            What::Any => None,
            What::In(name) | What::Eq(name) => Some(name.type_name().to_string()),
            What::Is(of) | What::IsIn(of, _) => Some(of.to_string()),
        };
        let wrong = |of: &Option<String>, right: &[&str], others: &[&str]| {
            let of = of.as_deref().filter(|of| others.contains(of) && !right.contains(of));
            of.map(str::to_owned)
        };
        if let Some(of) = wrong(&who, &CALLERS, &THINGS) {
            let message = format!("a caller is never a `{of}`; use `User`, `Group` or `Role`");
            self.problem(index, find(text, &of), message, None);
        }
        if let Some(of) = wrong(&what, &THINGS, &CALLERS) {
            let message = format!("what is called is never a `{of}`; use `Tool` or `Connector`");
            self.problem(index, find(text, &of), message, None);
        }
    }

    /// Checks one `Type::"id"` of a policy against what exists.
    fn literal(&mut self, index: usize, text: &str, name: &EntityUid) {
        let (world, types) = (self.world, &self.world.types);
        let (of, id) = (name.type_name(), name.id().unescaped());
        let connectors = || world.connectors.iter().chain(&world.pending).map(|c| c.as_str());
        let missing = if *of == types.action || *of == types.tool {
            return self.tool_literal(index, text, name);
        } else if *of == types.prompt || *of == types.resource {
            return self.part_literal(index, text, name);
        } else if *of == types.connector {
            let near = text::nearest(id, connectors());
            (!connectors().any(|known| known == id)).then_some(("connector", near))
        } else if *of == types.vmcp {
            let known = || world.vmcps().iter().map(|vmcp| vmcp.as_str());
            (!known().any(|known| known == id)).then(|| ("virtual MCP", text::nearest(id, known())))
        } else if *of == types.org {
            let own = world.org.as_str();
            (own != id).then_some(("organisation here called", Some(own)))
        } else {
            None
        };
        if let Some((kind, near)) = missing {
            let message = format!("there is no {kind} `{id}`");
            self.problem(index, find_name(text, name), message, near.map(str::to_owned));
        }
    }

    fn tool_literal(&mut self, index: usize, text: &str, name: &EntityUid) {
        let (world, id) = (self.world, name.id().unescaped());
        let is_action = *name.type_name() == world.types.action;
        if is_action && self.base_actions.iter().any(|known| known == id) {
            return;
        }
        if let Some(known) = world.tool(id) {
            if known.gone {
                let connector = &known.tool.connector;
                let flag =
                    format!("connector `{connector}` no longer has the tool it names, `{id}`");
                self.flag(index, flag);
            }
            return;
        }
        let connector = id.split_once('/').map(|(connector, _)| connector);
        if connector.is_some_and(|connector| world.pending.contains(connector)) {
            let flag =
                format!("not checked: the tools of the connector of `{id}` are not known yet");
            self.flag(index, flag);
            if let Some(entry) = self.entries.get_mut(index) {
                entry.checkable = false;
            }
            return;
        }
        let base = self.base_actions.iter().filter(|_| is_action).map(String::as_str);
        let tools = world.tools.iter().map(|known| known.id.as_str());
        let near = text::nearest(id, base.chain(tools)).map(str::to_owned);
        let message = match id.split_once('/') {
            Some((connector, tool)) if world.connectors.contains(connector) => {
                format!("connector `{connector}` has no tool `{tool}`")
            }
            Some((connector, _)) => format!("there is no connector `{connector}`"),
            None if is_action => {
                format!("there is no action `{id}`; a tool's action is written `connector/tool`")
            }
            None => format!("there is no tool `{id}`; a tool is written `connector/tool`"),
        };
        self.problem(index, find_name(text, name), message, near);
    }

    /// Checks the name of a prompt or resource. A prompt that is not offered is flagged only:
    /// which ones are changes without notice, and no record keeps those of before. A URI is
    /// free text.
    fn part_literal(&mut self, index: usize, text: &str, name: &EntityUid) {
        let (world, id) = (self.world, name.id().unescaped());
        let (kind, form) = if *name.type_name() == world.types.prompt {
            ("prompt", "connector/prompt")
        } else {
            ("resource", "connector/uri")
        };
        let Some((connector, rest)) = id.split_once('/') else {
            let message = format!("there is no {kind} `{id}`; a {kind} is written `{form}`");
            return self.problem(index, find_name(text, name), message, None);
        };
        let mut known = world.connectors.iter().chain(&world.pending).map(|id| id.as_str());
        if !known.any(|id| id == connector) {
            let known = world.connectors.iter().chain(&world.pending).map(|id| id.as_str());
            let near = text::nearest(connector, known).map(|near| format!("{near}/{rest}"));
            let message = format!("there is no connector `{connector}`");
            return self.problem(index, find_name(text, name), message, near);
        }
        let is_seen = world.connectors.contains(connector);
        if kind == "prompt" && is_seen && world.prompt(id).is_none() {
            let near = text::nearest(id, world.prompts.iter().map(|known| known.id.as_str()));
            let meant = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let flag = format!("connector `{connector}` offers no prompt `{rest}` now{meant}");
            self.flag(index, flag);
        }
    }

    /// Flags a policy, once per sentence.
    pub(super) fn flag(&mut self, index: usize, flag: String) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        if !entry.info.flags.contains(&flag) {
            entry.info.flags.push(flag);
        }
    }
}

/// Where in a policy's text an error points to.
pub(super) fn offset_of(error: &dyn Diagnostic) -> Option<usize> {
    error.labels()?.next().map(|label| label.offset())
}

/// What helps with messages of Cedar's that do not help by themselves.
const HINTS: [(&str, &str); 3] = [
    ("unexpected end of input", "every policy ends with `;`"),
    ("expected Long but saw decimal", "compare it as in `.lessThan(decimal(\"1.0\"))`"),
    ("attribute `input` in context for", "only calls of tools have `context.input`"),
];

/// Cedar's message as a sentence of ours, and what it thinks was meant.
pub(super) fn explain(error: &dyn Diagnostic, message: &str) -> (String, Option<String>) {
    let plain = |text: &str| {
        let text = text.replace('\n', " ");
        match text.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
            Some((_, rest)) => rest.to_owned(),
            None => text,
        }
    };
    let mut message = plain(message);
    let hint = HINTS.iter().find(|(part, _)| message.contains(part));
    let help = hint.map(|(_, hint)| (*hint).to_owned());
    let help = help.or_else(|| error.help().map(|help| plain(&help.to_string())));
    let meant = help.as_deref().and_then(|help| {
        let (_, rest) = help.split_once("did you mean `")?;
        rest.split_once('`').map(|(name, _)| name.to_owned())
    });
    if let (Some(help), None) = (help, &meant) {
        message = format!("{message}; {help}");
    }
    (message, meant)
}

/// Where `Type::"id"` stands in a policy's text; the beginning if it is spelled unusually.
fn find_name(text: &str, name: &EntityUid) -> usize {
    let quoted = format!("\"{}\"", name.id().escaped());
    let whole = name.to_string();
    text.find(&whole).or_else(|| text.find(&quoted)).unwrap_or_default()
}

/// Where a word stands in a policy's text, or its beginning.
pub(super) fn find(text: &str, word: &str) -> usize {
    text.find(word).unwrap_or_default()
}
