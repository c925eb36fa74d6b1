//! The types that have JSON, read once from a component.
//!
//! Mirrors WIT's types without the engine's handles, so that schema and values can be made
//! from the same tree. A type that has no JSON is refused with the reason; so is one that is
//! too large to be described, because types are shared in the file and a tree is not.

use wasmtime::component::types::{ResourceType, Type};

/// What the description of one function may cost, about its schema's bytes.
const FUNCTION: usize = 256 << 10;
/// What those of all functions of a component may cost together.
const ALL: usize = 8 << 20;
/// What a type costs without its names.
const NODE: usize = 48;
/// Types within one another; JSON may be nested 64 times, and a value is not at the top of it.
const DEPTH: usize = 56;

/// The integers of WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

/// A type that has JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Bool,
    Integer(Width),
    Float32,
    Float64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    List(Box<Shape>),
    Record(Vec<(String, Shape)>),
    Tuple(Vec<Shape>),
    Variant(Vec<(String, Option<Shape>)>),
    Enum(Vec<String>),
    Option(Box<Shape>),
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
    Flags(Vec<String>),
}

impl Width {
    /// Its least and its greatest number.
    pub(super) fn range(self) -> (i128, i128) {
        match self {
            Self::S8 => (i8::MIN.into(), i8::MAX.into()),
            Self::U8 => (u8::MIN.into(), u8::MAX.into()),
            Self::S16 => (i16::MIN.into(), i16::MAX.into()),
            Self::U16 => (u16::MIN.into(), u16::MAX.into()),
            Self::S32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U32 => (u32::MIN.into(), u32::MAX.into()),
            Self::S64 => (i64::MIN.into(), i64::MAX.into()),
            Self::U64 => (u64::MIN.into(), u64::MAX.into()),
        }
    }

    /// Whether it may also be written as a string of digits.
    pub(super) fn is_long(self) -> bool {
        matches!(self, Self::S64 | Self::U64)
    }
}

/// The resource types of a component, by name.
#[derive(Debug, Default)]
pub(super) struct Resources(Vec<(ResourceType, String)>);

impl Resources {
    pub(super) fn add(&mut self, ty: ResourceType, name: &str) {
        self.0.push((ty, name.to_owned()));
    }

    fn name(&self, ty: ResourceType) -> &str {
        self.0.iter().find(|(known, _)| *known == ty).map_or("unnamed", |(_, name)| name)
    }
}

/// Reads types, and counts what their descriptions will take.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    resources: &'a Resources,
    all: usize,
    function: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(resources: &'a Resources) -> Self {
        Self { resources, all: ALL, function: FUNCTION, depth: 0 }
    }

    /// Starts a function; `taken` bytes are there before any of its types.
    pub(super) fn function(&mut self, taken: usize) -> Result<(), String> {
        self.function = FUNCTION;
        self.depth = 0;
        self.take(taken)
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        let left = |of: usize| of.checked_sub(bytes);
        self.function = left(self.function).ok_or("its types are too large to be described")?;
        self.all = left(self.all)
            .ok_or("the component's functions are too large to be described together")?;
        Ok(())
    }

    fn names<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Result<Vec<String>, String> {
        names
            .map(|name| {
                self.take(name.len() + NODE / 8)?;
                Ok(name.to_owned())
            })
            .collect()
    }

    /// Members of a record, or parameters of a function.
    pub(super) fn members<'n>(
        &mut self,
        members: impl Iterator<Item = (&'n str, Type)>,
    ) -> Result<Vec<(String, Shape)>, String> {
        members
            .map(|(name, ty)| {
                self.take(name.len() * 2)?;
                Ok((name.to_owned(), self.shape(&ty)?))
            })
            .collect()
    }

    fn boxed(&mut self, ty: Option<Type>) -> Result<Option<Box<Shape>>, String> {
        ty.map(|ty| self.shape(&ty).map(Box::new)).transpose()
    }

    /// The shape of a type, or why it has none.
    pub(super) fn shape(&mut self, ty: &Type) -> Result<Shape, String> {
        self.take(NODE)?;
        if self.depth == DEPTH {
            return Err(format!("its types are nested more than {DEPTH} times"));
        }
        self.depth += 1;
        let shape = self.inner(ty)?;
        self.depth -= 1;
        Ok(shape)
    }

    fn inner(&mut self, ty: &Type) -> Result<Shape, String> {
        let none = |what: &str| Err(format!("it uses {what}, which has no json"));
        Ok(match ty {
            Type::Bool => Shape::Bool,
            Type::S8 => Shape::Integer(Width::S8),
            Type::U8 => Shape::Integer(Width::U8),
            Type::S16 => Shape::Integer(Width::S16),
            Type::U16 => Shape::Integer(Width::U16),
            Type::S32 => Shape::Integer(Width::S32),
            Type::U32 => Shape::Integer(Width::U32),
            Type::S64 => Shape::Integer(Width::S64),
            Type::U64 => Shape::Integer(Width::U64),
            Type::Float32 => Shape::Float32,
            Type::Float64 => Shape::Float64,
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(list) => match list.ty() {
                Type::U8 => {
                    self.take(NODE)?;
                    Shape::Bytes
                }
                item => Shape::List(Box::new(self.shape(&item)?)),
            },
            Type::Record(record) => {
                Shape::Record(self.members(record.fields().map(|field| (field.name, field.ty)))?)
            }
            Type::Tuple(tuple) => {
                Shape::Tuple(tuple.types().map(|ty| self.shape(&ty)).collect::<Result<_, _>>()?)
            }
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| {
                    self.take(case.name.len() * 2 + NODE)?;
                    let payload = case.ty.map(|ty| self.shape(&ty)).transpose()?;
                    Ok((case.name.to_owned(), payload))
                });
                Shape::Variant(cases.collect::<Result<_, String>>()?)
            }
            Type::Enum(names) => Shape::Enum(self.names(names.names())?),
            Type::Option(option) => Shape::Option(Box::new(self.shape(&option.ty())?)),
            Type::Result(result) => {
                Shape::Result(self.boxed(result.ok())?, self.boxed(result.err())?)
            }
            Type::Flags(flags) => Shape::Flags(self.names(flags.names())?),
            Type::Own(resource) | Type::Borrow(resource) => {
                let name = self.resources.name(*resource);
                return none(&format!("the resource `{name}`"));
            }
            Type::Future(_) => return none("a future"),
            Type::Stream(_) => return none("a stream"),
            Type::ErrorContext => return none("an error context"),
            Type::Map(_) => return none("a map"),
            Type::FixedLengthList(_) => return none("a list of fixed length"),
        })
    }
}
