//! Generated types and values: nothing is lost either way, and schemas promise what holds.

use jsonschema::validator_for;
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};
use tidegate_wire::json::Raw;
use wasmtime::component::Val;

use super::{
    schema::{self, Way},
    shape::{Shape, Width},
    text, value,
};

const WIDTHS: [Width; 8] =
    [Width::S8, Width::U8, Width::S16, Width::U16, Width::S32, Width::U32, Width::S64, Width::U64];

/// Different names, as a type has them.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|place| format!("name-{place}")).collect()
}

fn named<T>(items: Vec<T>) -> Vec<(String, T)> {
    names(items.len()).into_iter().zip(items).collect()
}

fn shapes() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Bool),
        select(&WIDTHS[..]).prop_map(Shape::Integer),
        Just(Shape::Float32),
        Just(Shape::Float64),
        Just(Shape::Char),
        Just(Shape::String),
        Just(Shape::Bytes),
        (1..6_usize).prop_map(|count| Shape::Enum(names(count))),
        (1..6_usize).prop_map(|count| Shape::Flags(names(count))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed.clone().prop_map(Shape::List),
            boxed.clone().prop_map(Shape::Option),
            boxed.clone().prop_map(|it| Shape::Option(Box::new(Shape::Option(it)))),
            vec(inner.clone(), 1..4).prop_map(|items| Shape::Record(named(items))),
            vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            vec(option::of(inner), 1..4).prop_map(|cases| Shape::Variant(named(cases))),
            (option::of(boxed.clone()), option::of(boxed))
                .prop_map(|(ok, error)| Shape::Result(ok, error)),
        ]
    })
}

/// Any of the type's integers, its ends more often than chance would have them.
fn integers(width: Width) -> BoxedStrategy<Val> {
    let (least, most) = width.range();
    let number = prop_oneof![Just(least), Just(most), Just(0), least..=most];
    let value = move |number: i128| match width {
        Width::S8 => Val::S8(number.try_into().unwrap()),
        Width::U8 => Val::U8(number.try_into().unwrap()),
        Width::S16 => Val::S16(number.try_into().unwrap()),
        Width::U16 => Val::U16(number.try_into().unwrap()),
        Width::S32 => Val::S32(number.try_into().unwrap()),
        Width::U32 => Val::U32(number.try_into().unwrap()),
        Width::S64 => Val::S64(number.try_into().unwrap()),
        Width::U64 => Val::U64(number.try_into().unwrap()),
    };
    number.prop_map(value).boxed()
}

fn maybe(shape: Option<&Shape>) -> BoxedStrategy<Option<Box<Val>>> {
    match shape {
        None => Just(None).boxed(),
        Some(shape) => values(shape).prop_map(|value| Some(Box::new(value))).boxed(),
    }
}

/// Values of a shape.
fn values(shape: &Shape) -> BoxedStrategy<Val> {
    match shape {
        Shape::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Shape::Integer(width) => integers(*width),
        // Every bit pattern: zeros of both signs, subnormals, infinities, what is no number.
        Shape::Float32 => any::<u32>().prop_map(|bits| Val::Float32(f32::from_bits(bits))).boxed(),
        Shape::Float64 => prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            select(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1, 5e-324][..]),
        ]
        .prop_map(Val::Float64)
        .boxed(),
        Shape::Char => any::<char>().prop_map(Val::Char).boxed(),
        Shape::String => any::<String>().prop_map(Val::String).boxed(),
        Shape::Bytes => vec(any::<u8>().prop_map(Val::U8), 0..20).prop_map(Val::List).boxed(),
        Shape::List(item) => vec(values(item), 0..4).prop_map(Val::List).boxed(),
        Shape::Record(members) => {
            let names: Vec<_> = members.iter().map(|(name, _)| name.clone()).collect();
            let fields: Vec<_> = members.iter().map(|(_, shape)| values(shape)).collect();
            let record =
                move |values| Val::Record(names.iter().cloned().zip::<Vec<_>>(values).collect());
            fields.prop_map(record).boxed()
        }
        Shape::Tuple(items) => {
            items.iter().map(values).collect::<Vec<_>>().prop_map(Val::Tuple).boxed()
        }
        Shape::Variant(cases) => {
            let one = |(name, payload): (String, Option<Shape>)| {
                maybe(payload.as_ref()).prop_map(move |value| Val::Variant(name.clone(), value))
            };
            select(cases.clone()).prop_flat_map(one).boxed()
        }
        Shape::Enum(names) => select(names.clone()).prop_map(Val::Enum).boxed(),
        Shape::Option(some) => {
            let some = values(some).prop_map(|value| Some(Box::new(value)));
            prop_oneof![Just(None), some].prop_map(Val::Option).boxed()
        }
        Shape::Result(ok, error) => prop_oneof![
            maybe(ok.as_deref()).prop_map(|value| Val::Result(Ok(value))),
            maybe(error.as_deref()).prop_map(|value| Val::Result(Err(value))),
        ]
        .boxed(),
        Shape::Flags(names) => proptest::sample::subsequence(names.clone(), 0..=names.len())
            .prop_map(Val::Flags)
            .boxed(),
    }
}

/// JSON that a schema of arguments allows, made from the schema and not from the shape.
fn fitting(schema: &Value) -> BoxedStrategy<Value> {
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            return select(choices.clone()).prop_flat_map(|it| fitting(&it)).boxed();
        }
    }
    if let Some(only) = schema.get("const") {
        return Just(only.clone()).boxed();
    }
    if let Some(several) = schema["enum"].as_array() {
        return select(several.clone()).boxed();
    }
    let ty = match &schema["type"] {
        Value::Array(types) => {
            let one = |ty: Value| {
                let mut schema = schema.clone();
                schema["type"] = ty;
                fitting(&schema)
            };
            return proptest::strategy::Union::new(types.iter().cloned().map(one)).boxed();
        }
        ty => ty.as_str().unwrap(),
    };
    match ty {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => {
            let least = schema["minimum"].as_i64().unwrap();
            let most = i128::from(schema["maximum"].as_u64().unwrap());
            let whole = (least.into()..=most).prop_map(|number| {
                i64::try_from(number)
                    .map_or_else(|_| u64::try_from(number).unwrap().into(), Value::from)
            });
            // An integer by the words of JSON Schema, whatever it looks like.
            let float = (least.max(-128)..=127.min(most.try_into().unwrap_or(127)))
                .prop_map(|number| json!(number as f64));
            prop_oneof![whole, float].boxed()
        }
        "number" => {
            let (least, most) = (&schema["minimum"], &schema["maximum"]);
            let range = least.as_f64().unwrap()..=most.as_f64().unwrap();
            prop_oneof![
                any::<f64>()
                    .prop_filter("in range", move |it| range.contains(it))
                    .prop_map(Value::from),
                any::<i32>().prop_map(Value::from),
                Just(least.clone()),
                Just(most.clone()),
            ]
            .boxed()
        }
        "string" => match schema["pattern"].as_str() {
            Some(pattern) => pattern_strings(pattern),
            None if schema["maxLength"] == 1 => {
                any::<char>().prop_map(|it| it.to_string().into()).boxed()
            }
            None => any::<String>().prop_map(Value::from).boxed(),
        },
        "array" => match schema["prefixItems"].as_array() {
            Some(items) => {
                items.iter().map(fitting).collect::<Vec<_>>().prop_map(Value::from).boxed()
            }
            None if schema["uniqueItems"] == true => {
                let names = schema["items"]["enum"].as_array().unwrap().clone();
                let count = names.len();
                proptest::sample::subsequence(names, 0..=count)
                    .prop_shuffle()
                    .prop_map(Value::from)
                    .boxed()
            }
            None => vec(fitting(&schema["items"]), 0..4).prop_map(Value::from).boxed(),
        },
        "object" => {
            let properties = schema["properties"].as_object().unwrap().clone();
            let required = schema["required"].as_array().unwrap().clone();
            let members: Vec<_> = properties
                .into_iter()
                .map(|(name, schema)| {
                    let some = fitting(&schema).prop_map(Some);
                    let left_out = !required.contains(&name.as_str().into());
                    let value =
                        if left_out { prop_oneof![some, Just(None)].boxed() } else { some.boxed() };
                    value.prop_map(move |value| value.map(|value| (name.clone(), value)))
                })
                .collect();
            members.prop_map(|it| Value::Object(it.into_iter().flatten().collect())).boxed()
        }
        other => panic!("no such type in our schemas: {other}"),
    }
}

/// Strings of the patterns that our schemas use, told by a sample of each.
fn pattern_strings(pattern: &str) -> BoxedStrategy<Value> {
    match pattern {
        "^[0-9]{1,19}$" => "[0-9]{1,19}".prop_map(Value::from).boxed(),
        "^-?[0-9]{1,18}$" => "-?[0-9]{1,18}".prop_map(Value::from).boxed(),
        _ => "([A-Za-z0-9+/]{4}){0,4}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
            .prop_map(Value::from)
            .boxed(),
    }
}

fn written(value: &Val, shape: &Shape) -> String {
    let mut out = Vec::new();
    text::write(&mut out, value, shape).unwrap();
    String::from_utf8(out).unwrap()
}

/// What one argument reads as.
fn read(json: &str, shape: &Shape) -> Result<Val, String> {
    let arguments = format!(r#"{{"it":{json}}}"#);
    let parameters = [("it".to_owned(), shape.clone())];
    value::arguments(Raw::from_checked(&arguments), &parameters)
        .map(|mut values| values.pop().unwrap())
        .map_err(|misfit| misfit.to_string())
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn values_survive_json_and_fit_both_schemas(
        (shape, value) in shapes().prop_flat_map(|it| { let values = values(&it); (Just(it), values) })
    ) {
        let json = written(&value, &shape);
        let limits = tidegate_wire::json::Limits::RESPONSE;
        prop_assert!(tidegate_wire::json::check(json.as_bytes(), &limits).is_ok(), "{}", json);
        prop_assert_eq!(read(&json, &shape), Ok(value), "{}", json);
        let json: Value = serde_json::from_str(&json).unwrap();
        for way in [Way::In, Way::Out] {
            let schema = schema::of(&shape, way);
            let validator = validator_for(&schema).unwrap();
            prop_assert!(validator.is_valid(&json), "{} does not fit {}", json, schema);
        }
    }

    #[test]
    fn what_fits_the_schema_is_accepted_and_means_the_same_again(
        (shape, schema, json) in shapes().prop_flat_map(|it| {
            let schema = schema::of(&it, Way::In);
            let values = fitting(&schema);
            (Just(it), Just(schema), values)
        })
    ) {
        let validator = validator_for(&schema).unwrap();
        prop_assert!(validator.is_valid(&json), "the test's own JSON fits: {} in {}", json, schema);
        let value = read(&json.to_string(), &shape);
        prop_assert!(value.is_ok(), "{:?}: {} in {}", value, json, schema);
        let value = value.unwrap();
        prop_assert_eq!(read(&written(&value, &shape), &shape), Ok(value));
    }

    #[test]
    fn any_json_is_refused_in_words_or_accepted(shape in shapes(), (_, json) in shapes()
        .prop_flat_map(|it| { let values = values(&it); (Just(it), values) })
        .prop_map(|(shape, value)| (shape.clone(), written(&value, &shape)))
    ) {
        match read(&json, &shape) {
            Ok(value) => prop_assert_eq!(read(&written(&value, &shape), &shape), Ok(value)),
            Err(text) => {
                prop_assert!(text.starts_with("`it") && text.len() < 1_000, "{}", text);
            }
        }
    }
}

#[test]
fn forms_that_are_easily_taken_for_one_another() {
    let long = Shape::Integer(Width::U64);
    let deep = Shape::Option(Box::new(Shape::Option(Box::new(Shape::Bool))));
    let table = [
        (long.clone(), r#""18446744073709551615""#, "18446744073709551615"),
        (long.clone(), "9007199254740993", "9007199254740993"),
        (long, "9007199254740993.0", "9007199254740993"),
        (deep.clone(), "null", "null"),
        (deep.clone(), r#"{"some":null}"#, r#"{"some":null}"#),
        (deep, r#"{"some":true}"#, r#"{"some":true}"#),
        (Shape::Float32, "0.1", "0.1"),
        (Shape::Float64, "-0", "-0.0"),
        (Shape::Float64, r#""-Infinity""#, r#""-Infinity""#),
        (Shape::Bytes, r#""AAE""#, r#""AAE=""#),
        (Shape::Bytes, r#""""#, r#""""#),
        (Shape::Char, r#""\ud83d\ude00""#, "\"😀\""),
        (Shape::Result(None, None), r#"{"ok":null}"#, r#"{"ok":null}"#),
    ];
    for (shape, json, expected) in table {
        let value = read(json, &shape).unwrap();
        assert_eq!(written(&value, &shape), expected, "{json}");
    }
}

#[test]
fn arguments_are_bounded_however_short_their_json_is() {
    let bytes = format!("\"{}\"", "A".repeat(2 << 20));
    let refused = read(&bytes, &Shape::Bytes).unwrap_err();
    assert!(refused.contains("more than 1048576 values"), "{refused}");
    assert!(read(&format!("\"{}\"", "A".repeat(1 << 20)), &Shape::Bytes).is_ok());
}

#[test]
fn members_that_are_left_out_count() {
    let members = (0..1_000).map(|n| (format!("m{n}"), Shape::Option(Box::new(Shape::Bool))));
    let rows = Shape::List(Box::new(Shape::Record(members.collect())));
    let empty = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    assert!(read(&empty(1_000), &rows).is_ok());
    let refused = read(&empty(1_100), &rows).unwrap_err();
    assert!(refused.contains("more than 1048576 values"), "{refused}");
}
