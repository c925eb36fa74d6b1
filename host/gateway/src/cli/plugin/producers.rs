//! What a component says it was made with: the custom section `producers` of the file and of
//! the modules in it.
//!
//! Written by compilers and languages for people, believed by nobody; what cannot be read is
//! left out.

use std::collections::BTreeMap;

/// Components and modules lie at most this deep in each other.
const DEPTH: usize = 8;
/// Names of one field.
const NAMES: usize = 64;

/// The field (`language`, `processed-by`, `sdk`), then names with their versions.
pub(super) type Producers = BTreeMap<String, BTreeMap<String, String>>;

/// What the file says.
pub(super) fn read(file: &[u8]) -> Producers {
    let mut found = Producers::new();
    sections(file, 0, &mut found);
    found
}

/// Goes through the sections of a component or module.
fn sections(file: &[u8], depth: usize, found: &mut Producers) {
    let Some((_, mut rest)) = file.split_at_checked(8) else { return };
    while let Some((&kind, after)) = rest.split_first() {
        rest = after;
        let Some(section) = piece(&mut rest) else { return };
        match kind {
            0 => {
                let mut body = section;
                if piece(&mut body) == Some(b"producers") {
                    fields(body, found);
                }
            }
            // A module or a component inside.
            1 | 4 if depth < DEPTH && section.starts_with(b"\0asm") => {
                sections(section, depth + 1, found);
            }
            _ => {}
        }
    }
}

fn fields(mut rest: &[u8], found: &mut Producers) {
    for _ in 0..number(&mut rest).unwrap_or(0) {
        let Some(field) = text(&mut rest) else { return };
        let names = found.entry(field).or_default();
        for _ in 0..number(&mut rest).unwrap_or(0) {
            let (Some(name), Some(version)) = (text(&mut rest), text(&mut rest)) else { return };
            if names.len() < NAMES {
                names.insert(name, version);
            }
        }
    }
}

/// A text, made harmless for a terminal.
fn text(rest: &mut &[u8]) -> Option<String> {
    let text = std::str::from_utf8(piece(rest)?).ok()?;
    Some(text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect())
}

/// As many bytes as the number before them says.
fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (piece, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(piece)
}

/// An unsigned LEB128 number of 32 bits.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(bytes: &[u8]) -> Vec<u8> {
        let mut all = vec![u8::try_from(bytes.len()).unwrap()];
        all.extend(bytes);
        all
    }

    fn section(kind: u8, body: &[u8]) -> Vec<u8> {
        [vec![kind], sized(body)].concat()
    }

    fn producers(field: &str, name: &str, version: &str) -> Vec<u8> {
        let body = [
            sized(b"producers"),
            vec![1],
            sized(field.as_bytes()),
            vec![1],
            sized(name.as_bytes()),
            sized(version.as_bytes()),
        ];
        section(0, &body.concat())
    }

    #[test]
    fn modules_inside_tell_as_well() {
        let module = [b"\0asm\x01\0\0\0".to_vec(), producers("language", "Rust", "1\n2")].concat();
        let file = [
            b"\0asm\x0d\0\x01\0".to_vec(),
            section(7, b"xyz"),
            section(1, &module),
            producers("sdk", "kit", "3"),
        ]
        .concat();
        let found = read(&file);
        assert_eq!(found["language"]["Rust"], "1 2");
        assert_eq!(found["sdk"]["kit"], "3");
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for bad in [
            &b""[..],
            b"\0asm",
            b"\0asm\x0d\0\x01\0\0\xff",
            b"\0asm\x0d\0\x01\0\0\x80\x80\x80\x80\x80\x80",
        ] {
            assert!(read(bad).is_empty(), "{bad:?}");
        }
        let cut =
            [b"\0asm\x0d\0\x01\0".to_vec(), section(0, b"\x09producers\x05\x01a\x7f")].concat();
        assert!(read(&cut)["a"].is_empty());
    }
}
