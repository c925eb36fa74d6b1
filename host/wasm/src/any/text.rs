//! Values of the component model to JSON, by shape and without loss. The forms are those of
//! [`value`](super::value), each value in exactly one of them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tidegate_wire::json::write_string;
use wasmtime::component::Val;

use super::{number, shape::Shape};

/// The value is none of this shape; the engine gives no such value.
#[derive(Debug, thiserror::Error)]
#[error("the component returned a value that is none of its own type")]
pub(super) struct NotOfShape;

/// Writes a value after what is there.
pub(super) fn write(out: &mut Vec<u8>, value: &Val, shape: &Shape) -> Result<(), NotOfShape> {
    match (value, shape) {
        (Val::Bool(value), Shape::Bool) => {
            out.extend(if *value { "true".bytes() } else { "false".bytes() });
        }
        (Val::S8(value), Shape::Integer(_)) => integer(out, *value),
        (Val::U8(value), Shape::Integer(_)) => integer(out, *value),
        (Val::S16(value), Shape::Integer(_)) => integer(out, *value),
        (Val::U16(value), Shape::Integer(_)) => integer(out, *value),
        (Val::S32(value), Shape::Integer(_)) => integer(out, *value),
        (Val::U32(value), Shape::Integer(_)) => integer(out, *value),
        (Val::S64(value), Shape::Integer(_)) => integer(out, *value),
        (Val::U64(value), Shape::Integer(_)) => integer(out, *value),
        (Val::Float32(value), Shape::Float32) => number::write32(out, *value),
        (Val::Float64(value), Shape::Float64) => number::write64(out, *value),
        (Val::Char(value), Shape::Char) => write_string(out, value.encode_utf8(&mut [0; 4])),
        (Val::String(value), Shape::String) => write_string(out, value),
        (Val::List(items), Shape::Bytes) => bytes(out, items)?,
        (Val::List(items), Shape::List(item)) => {
            array(out, items.iter().map(|value| (value, &**item)))?;
        }
        (Val::Tuple(items), Shape::Tuple(shapes)) if items.len() == shapes.len() => {
            array(out, items.iter().zip(shapes))?;
        }
        (Val::Record(fields), Shape::Record(members)) => record(out, fields, members)?,
        (Val::Variant(name, value), Shape::Variant(cases)) => {
            let (_, payload) = cases.iter().find(|(case, _)| case == name).ok_or(NotOfShape)?;
            match (value, payload) {
                (None, None) => write_string(out, name),
                (Some(value), Some(shape)) => member(out, name, Some((value, shape)))?,
                _ => return Err(NotOfShape),
            }
        }
        (Val::Enum(name), Shape::Enum(_)) => write_string(out, name),
        (Val::Option(None), Shape::Option(_)) => out.extend(b"null"),
        (Val::Option(Some(value)), Shape::Option(shape)) => match **shape {
            Shape::Option(_) => member(out, "some", Some((value, shape)))?,
            _ => write(out, value, shape)?,
        },
        (Val::Result(Ok(value)), Shape::Result(shape, _)) => {
            member(out, "ok", value.as_deref().zip(shape.as_deref()))?;
        }
        (Val::Result(Err(value)), Shape::Result(_, shape)) => {
            member(out, "error", value.as_deref().zip(shape.as_deref()))?;
        }
        (Val::Flags(names), Shape::Flags(_)) => {
            separated(out, b'[', names, |out, name| {
                write_string(out, name);
                Ok(())
            })?;
            out.push(b']');
        }
        _ => return Err(NotOfShape),
    }
    Ok(())
}

fn integer(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    out.extend(number.to_string().bytes());
}

fn bytes(out: &mut Vec<u8>, items: &[Val]) -> Result<(), NotOfShape> {
    let byte = |item: &Val| match item {
        Val::U8(byte) => Ok(*byte),
        _ => Err(NotOfShape),
    };
    let bytes = items.iter().map(byte).collect::<Result<Vec<_>, _>>()?;
    out.push(b'"');
    out.extend(STANDARD.encode(bytes).bytes());
    out.push(b'"');
    Ok(())
}

/// `open`, then the items with commas between them.
fn separated<T>(
    out: &mut Vec<u8>,
    open: u8,
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut Vec<u8>, T) -> Result<(), NotOfShape>,
) -> Result<(), NotOfShape> {
    out.push(open);
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        each(out, item)?;
    }
    Ok(())
}

fn array<'v>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = (&'v Val, &'v Shape)>,
) -> Result<(), NotOfShape> {
    separated(out, b'[', items, |out, (value, shape)| write(out, value, shape))?;
    out.push(b']');
    Ok(())
}

fn record(
    out: &mut Vec<u8>,
    fields: &[(String, Val)],
    members: &[(String, Shape)],
) -> Result<(), NotOfShape> {
    if fields.len() != members.len() {
        return Err(NotOfShape);
    }
    separated(out, b'{', fields.iter().zip(members), |out, ((name, value), (_, shape))| {
        write_string(out, name);
        out.push(b':');
        write(out, value, shape)
    })?;
    out.push(b'}');
    Ok(())
}

fn member(
    out: &mut Vec<u8>,
    name: &str,
    payload: Option<(&Val, &Shape)>,
) -> Result<(), NotOfShape> {
    out.push(b'{');
    write_string(out, name);
    out.push(b':');
    match payload {
        Some((value, shape)) => write(out, value, shape)?,
        None => out.extend(b"null"),
    }
    out.push(b'}');
    Ok(())
}
