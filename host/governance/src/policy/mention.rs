//! What a policy looks at, read off its syntax tree once.
//!
//! Tells which parts of the context a decision needs, so that the rest is never built, and
//! which policies are settled by who asks for what. Over-approximates: whatever it does not
//! understand counts as looking at everything.

use std::{collections::BTreeSet, sync::Arc};

use cedar_policy::{
    Policy,
    pst::{Clause, Expr, Var},
};

/// The attributes of the context, as bits of [`Mentions::context`].
pub(super) mod part {
    pub(in super::super) const VMCP: u16 = 1;
    pub(in super::super) const CLIENT: u16 = 2;
    pub(in super::super) const AUTH: u16 = 4;
    pub(in super::super) const TIME: u16 = 8;
    pub(in super::super) const WEEKDAY: u16 = 16;
    pub(in super::super) const SOURCE: u16 = 32;
    pub(in super::super) const SESSION: u16 = 64;
    pub(in super::super) const INPUT: u16 = 128;
    pub(in super::super) const FACTS: u16 = 256;
    /// All of them.
    pub(in super::super) const ALL: u16 = 511;
    /// Those that every request of one caller through one virtual MCP shares.
    pub(in super::super) const FIXED: u16 = VMCP | AUTH | SESSION;
    /// Those that a request may lack.
    pub(in super::super) const OPTIONAL: u16 = CLIENT | SOURCE;

    pub(super) fn named(name: &str) -> u16 {
        match name {
            "vmcp" => VMCP,
            "client" => CLIENT,
            "auth" => AUTH,
            "time" => TIME,
            "weekday" => WEEKDAY,
            "source" => SOURCE,
            "session" => SESSION,
            "input" => INPUT,
            "facts" => FACTS,
            _ => ALL,
        }
    }
}

/// Members of `context.input`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attributes {
    /// These.
    Named(BTreeSet<Arc<str>>),
    /// All, because the record is used as a whole.
    All,
}

impl Default for Attributes {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Attributes {
    /// Whether this member is among them.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::All => true,
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Named(names) if names.is_empty())
    }

    fn add(&mut self, name: &str) {
        if let Self::Named(names) = self {
            names.insert(name.into());
        }
    }

    fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Named(ours), Self::Named(theirs)) => ours.extend(theirs.iter().cloned()),
            _ => *self = Self::All,
        }
    }
}

/// What the conditions of a policy look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mentions {
    /// Bits of [`part`].
    pub(super) context: u16,
    /// Which members of `context.input`.
    pub(super) input: Attributes,
    /// Whether they look at principal, action or resource.
    pub(super) scope: bool,
    /// Whether they look at action or resource.
    pub(super) target: bool,
    /// Whether there is any condition.
    pub(super) conditions: bool,
}

impl Mentions {
    /// What this policy looks at.
    pub(super) fn of(policy: &Policy) -> Self {
        let mut found = Self::default();
        match policy.to_pst() {
            Ok(tree) => {
                for clause in tree.body().clauses() {
                    found.conditions = true;
                    let (Clause::When(expr) | Clause::Unless(expr)) = clause;
                    found.walk(expr);
                }
            }
            Err(_) => found.everything(),
        }
        found
    }

    /// Adds what another policy looks at.
    pub(super) fn merge(&mut self, other: &Self) {
        self.context |= other.context;
        self.input.merge(&other.input);
        self.scope |= other.scope;
        self.target |= other.target;
        self.conditions |= other.conditions;
    }

    fn everything(&mut self) {
        let input = Attributes::All;
        *self = Self { context: part::ALL, input, scope: true, target: true, conditions: true };
    }

    /// An attribute of the context, followed by attributes of that.
    fn attribute(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else {
            self.context = part::ALL;
            self.input = Attributes::All;
            return;
        };
        let bit = part::named(first);
        self.context |= bit;
        if bit & part::INPUT != 0 {
            match rest.first() {
                Some(name) => self.input.add(name),
                None => self.input = Attributes::All,
            }
        }
    }

    /// Takes `context.a.b` and `context has a.b` as paths, and everything else apart.
    fn walk(&mut self, expr: &Expr) {
        let mut path = Vec::new();
        if is_path(expr, &mut path) {
            return self.attribute(&path);
        }
        match expr {
            Expr::Literal(_) | Expr::Slot(_) => {}
            // A bare `context` is a path, so this is one of the other three.
            Expr::Var(of) => {
                self.scope = true;
                self.target |= !matches!(of, Var::Principal);
            }
            Expr::UnaryOp { expr, .. }
            | Expr::GetAttr { expr, .. }
            | Expr::HasAttr { expr, .. }
            | Expr::Like { expr, .. } => self.walk(expr),
            Expr::BinaryOp { left, right, .. } => {
                self.walk(left);
                self.walk(right);
            }
            Expr::Is { expr, in_expr, .. } => {
                self.walk(expr);
                in_expr.iter().for_each(|inner| self.walk(inner));
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                [cond, then_expr, else_expr].into_iter().for_each(|inner| self.walk(inner));
            }
            Expr::Set(items) => items.iter().for_each(|inner| self.walk(inner)),
            Expr::Record(items) => items.values().for_each(|inner| self.walk(inner)),
            _ => self.everything(),
        }
    }
}

/// Whether `expr` is the context or an attribute path below it, collected into `path`.
fn is_path<'a>(expr: &'a Expr, path: &mut Vec<&'a str>) -> bool {
    match expr {
        Expr::Var(Var::Context) => true,
        Expr::GetAttr { expr, attr } => {
            let below = is_path(expr, path);
            path.push(attr.as_str());
            below
        }
        Expr::HasAttr { expr, attrs } => {
            let below = is_path(expr, path);
            path.extend(attrs.iter().map(|attr| attr.as_str()));
            below
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
