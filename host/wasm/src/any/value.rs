//! JSON to values of the component model, by shape and without loss: [`arguments`] has the
//! table of forms.
//!
//! The other way is [`text`](super::text). A map, a resource, a stream and a future have no
//! JSON ([`shape`](super::shape)).

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use tidegate_wire::json::{Kind, Raw};
use wasmtime::component::Val;

use super::{
    misfit::Misfit,
    number,
    shape::{Shape, Width},
};

/// Values that one call's arguments may have; each takes some 40 bytes however short its JSON.
const VALUES: usize = 1 << 20;

/// Takes what the schema's pattern takes, and base64 without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The arguments of a function, in the order of its parameters.
///
/// | WIT | JSON |
/// |---|---|
/// | integers | a number; of 64 bits also a string of digits |
/// | `f32`, `f64` | a number, or `"NaN"`, `"Infinity"`, `"-Infinity"` |
/// | `char` | a string of one character |
/// | `list<u8>` | a string of base64 |
/// | `list`, `tuple` | an array |
/// | `record` | an object; an option may be left out |
/// | `variant` | the case's name, or an object of one member, `{"case": payload}` |
/// | `enum` | the name |
/// | `flags` | an array of names |
/// | `option` | the value or `null`; where the value is an option itself, `{"some": …}` |
/// | `result` | `{"ok": …}` or `{"error": …}`, with `null` for no payload |
pub(super) fn arguments(json: Raw<'_>, parameters: &[(String, Shape)]) -> Result<Vec<Val>, Misfit> {
    let fields = Reader { left: VALUES }.members(json, parameters)?;
    Ok(fields.into_iter().map(|(_, value)| value).collect())
}

struct Reader {
    left: usize,
}

impl Reader {
    fn take(&mut self, values: usize) -> Result<(), Misfit> {
        let left = self.left.checked_sub(values);
        self.left = left.ok_or_else(|| {
            Misfit::new(format!("is too much: the arguments have more than {VALUES} values"))
        })?;
        Ok(())
    }

    fn value(&mut self, json: Raw<'_>, shape: &Shape) -> Result<Val, Misfit> {
        self.take(1)?;
        Ok(match shape {
            Shape::Bool => Val::Bool(json.boolean().ok_or_else(|| Misfit::wanted("a boolean"))?),
            Shape::Integer(width) => integer(json, *width)?,
            Shape::Float32 => Val::Float32(float32(json)?),
            Shape::Float64 => Val::Float64(float64(json)?),
            Shape::Char => Val::Char(character(json)?),
            Shape::String => Val::String(text(json)?),
            Shape::Bytes => self.bytes(json)?,
            Shape::List(item) => Val::List(self.list(json, item)?),
            Shape::Record(members) => Val::Record(self.members(json, members)?),
            Shape::Tuple(shapes) => Val::Tuple(self.tuple(json, shapes)?),
            Shape::Variant(cases) => self.case(json, cases)?,
            Shape::Enum(names) => Val::Enum(one_of(json, names)?),
            Shape::Option(_) if json.is_null() => Val::Option(None),
            Shape::Option(some) => Val::Option(Some(self.some(json, some)?)),
            Shape::Result(ok, error) => self.result(json, ok.as_deref(), error.as_deref())?,
            Shape::Flags(names) => Val::Flags(self.flags(json, names)?),
        })
    }

    fn bytes(&mut self, json: Raw<'_>) -> Result<Val, Misfit> {
        let text = text(json)?;
        self.take(text.len() / 4 * 3)?;
        let bytes =
            BASE64.decode(text).map_err(|_| Misfit::wanted("base64 of the standard alphabet"))?;
        Ok(Val::List(bytes.into_iter().map(Val::U8).collect()))
    }

    fn list(&mut self, json: Raw<'_>, item: &Shape) -> Result<Vec<Val>, Misfit> {
        array(json)?
            .enumerate()
            .map(|(place, json)| self.value(json, item).map_err(|it| it.in_element(place)))
            .collect()
    }

    fn tuple(&mut self, json: Raw<'_>, shapes: &[Shape]) -> Result<Vec<Val>, Misfit> {
        let wanted = || Misfit::wanted(&format!("an array of {}", shapes.len()));
        let mut items = array(json).map_err(|_| wanted())?;
        let mut values = Vec::with_capacity(shapes.len());
        for (place, shape) in shapes.iter().enumerate() {
            let item = items.next().ok_or_else(wanted)?;
            values.push(self.value(item, shape).map_err(|it| it.in_element(place))?);
        }
        if items.next().is_some() { Err(wanted()) } else { Ok(values) }
    }

    /// Every member in the order of the type; what is left out is an option that is none.
    fn members(
        &mut self,
        json: Raw<'_>,
        members: &[(String, Shape)],
    ) -> Result<Vec<(String, Val)>, Misfit> {
        if json.kind() != Kind::Object {
            return Err(Misfit::wanted("an object"));
        }
        // A member that is left out becomes a value as well.
        self.take(members.len())?;
        let mut values: Vec<Option<Val>> = vec![None; members.len()];
        for given in json.members() {
            let place = members.iter().position(|(name, _)| *name == given.key);
            let found = place.and_then(|place| Some((members.get(place)?, values.get_mut(place)?)));
            let Some(((name, shape), slot)) = found else {
                let names = members.iter().map(|(name, _)| name.as_str());
                return Err(Misfit::unknown(&given.key, names));
            };
            *slot = Some(self.value(given.value, shape).map_err(|it| it.in_member(name))?);
        }
        let named = members.iter().zip(values).map(|((name, shape), value)| match (value, shape) {
            (Some(value), _) => Ok((name.clone(), value)),
            (None, Shape::Option(_)) => Ok((name.clone(), Val::Option(None))),
            (None, _) => Err(Misfit::new("is missing").in_member(name)),
        });
        named.collect()
    }

    fn case(&mut self, json: Raw<'_>, cases: &[(String, Option<Shape>)]) -> Result<Val, Misfit> {
        let unknown = || Misfit::one_of(cases.iter().map(|(name, _)| name.as_str()));
        if let Some(given) = json.string() {
            let (name, payload) =
                cases.iter().find(|(name, _)| *name == given).ok_or_else(unknown)?;
            return match payload {
                None => Ok(Val::Variant(name.clone(), None)),
                Some(_) => Err(Misfit::new(format!(
                    "must carry a value: the case `{name}` is an object with the one member `{name}`"
                ))),
            };
        }
        let (given, json) = single(json)?;
        let (name, payload) = cases.iter().find(|(name, _)| *name == given).ok_or_else(unknown)?;
        match payload {
            Some(shape) => {
                let value = self.value(json, shape).map_err(|it| it.in_member(name))?;
                Ok(Val::Variant(name.clone(), Some(Box::new(value))))
            }
            None => Err(Misfit::wanted(&format!("the string `{name}`: the case has no value"))),
        }
    }

    fn some(&mut self, json: Raw<'_>, shape: &Shape) -> Result<Box<Val>, Misfit> {
        let value = match shape {
            Shape::Option(_) => match single(json)? {
                (name, json) if name == "some" => {
                    self.value(json, shape).map_err(|it| it.in_member("some"))?
                }
                _ => return Err(Misfit::wanted("null or an object with the one member `some`")),
            },
            _ => self.value(json, shape)?,
        };
        Ok(Box::new(value))
    }

    fn result(
        &mut self,
        json: Raw<'_>,
        ok: Option<&Shape>,
        error: Option<&Shape>,
    ) -> Result<Val, Misfit> {
        let (name, json) = single(json)?;
        match &*name {
            "ok" => Ok(Val::Result(Ok(self.payload(json, ok, "ok")?))),
            "error" => Ok(Val::Result(Err(self.payload(json, error, "error")?))),
            _ => Err(Misfit::wanted("an object with the one member `ok` or `error`")),
        }
    }

    fn payload(
        &mut self,
        json: Raw<'_>,
        shape: Option<&Shape>,
        name: &str,
    ) -> Result<Option<Box<Val>>, Misfit> {
        match shape {
            Some(shape) => {
                let value = self.value(json, shape).map_err(|it| it.in_member(name))?;
                Ok(Some(Box::new(value)))
            }
            None if json.is_null() => Ok(None),
            None => Err(Misfit::wanted("null: there is no value").in_member(name)),
        }
    }

    fn flags(&mut self, json: Raw<'_>, names: &[String]) -> Result<Vec<String>, Misfit> {
        let mut flags = Vec::new();
        for (place, json) in array(json)?.enumerate() {
            self.take(1)?;
            let name = one_of(json, names).map_err(|it| it.in_element(place))?;
            if flags.contains(&name) {
                return Err(Misfit::new("is there twice").in_element(place));
            }
            flags.push(name);
        }
        Ok(flags)
    }
}

fn integer(json: Raw<'_>, width: Width) -> Result<Val, Misfit> {
    let given = match json.kind() {
        Kind::Number => number::integer(json.as_str()),
        Kind::String if width.is_long() => json.string().and_then(|it| number::decimal(&it)),
        _ => None,
    };
    let value = given.and_then(|number| {
        Some(match width {
            Width::S8 => Val::S8(number.try_into().ok()?),
            Width::U8 => Val::U8(number.try_into().ok()?),
            Width::S16 => Val::S16(number.try_into().ok()?),
            Width::U16 => Val::U16(number.try_into().ok()?),
            Width::S32 => Val::S32(number.try_into().ok()?),
            Width::U32 => Val::U32(number.try_into().ok()?),
            Width::S64 => Val::S64(number.try_into().ok()?),
            Width::U64 => Val::U64(number.try_into().ok()?),
        })
    });
    value.ok_or_else(|| {
        let (least, most) = width.range();
        Misfit::wanted(&format!("an integer from {least} to {most}"))
    })
}

fn float64(json: Raw<'_>) -> Result<f64, Misfit> {
    let given = match json.kind() {
        Kind::Number => number::float64(json.as_str()),
        _ => json.string().and_then(|text| number::not_finite(&text)),
    };
    given.ok_or_else(not_a_number)
}

#[expect(clippy::cast_possible_truncation, reason = "what is not finite has no digits to lose")]
fn float32(json: Raw<'_>) -> Result<f32, Misfit> {
    let given = match json.kind() {
        Kind::Number => number::float32(json.as_str()),
        _ => json.string().and_then(|text| number::not_finite(&text)).map(|it| it as f32),
    };
    given.ok_or_else(not_a_number)
}

fn not_a_number() -> Misfit {
    Misfit::wanted("a number that fits its type, or one of `NaN`, `Infinity` and `-Infinity`")
}

fn text(json: Raw<'_>) -> Result<String, Misfit> {
    let text = json.string().ok_or_else(|| Misfit::wanted("a string"))?;
    Ok(text.into_owned())
}

fn character(json: Raw<'_>) -> Result<char, Misfit> {
    let text = text(json)?;
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Misfit::wanted("one character")),
    }
}

fn array(json: Raw<'_>) -> Result<impl Iterator<Item = Raw<'_>>, Misfit> {
    match json.kind() {
        Kind::Array => Ok(json.elements()),
        _ => Err(Misfit::wanted("an array")),
    }
}

fn one_of(json: Raw<'_>, names: &[String]) -> Result<String, Misfit> {
    let given = json.string();
    names
        .iter()
        .find(|name| given.as_deref() == Some(name))
        .cloned()
        .ok_or_else(|| Misfit::one_of(names.iter().map(String::as_str)))
}

fn single(json: Raw<'_>) -> Result<(std::borrow::Cow<'_, str>, Raw<'_>), Misfit> {
    let mut members = json.members();
    match (members.next(), members.next()) {
        (Some(member), None) => Ok((member.key, member.value)),
        _ => Err(Misfit::wanted("an object of one member")),
    }
}
