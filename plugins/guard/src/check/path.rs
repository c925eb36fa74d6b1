//! Paths that stay below a folder, however they are written.
//!
//! A path is judged by every way a server may read it: as it stands and percent-decoded, with
//! slashes either way. Each reading has to stay below. Names are all that is looked at: where
//! a symbolic link inside the folder leads is only known to the server.

/// So many layers of percent-encoding are undone; what has more is refused.
const LAYERS: usize = 3;

/// Characters that some systems fold into a dot or a slash.
const LOOKALIKES: [char; 14] = [
    '\u{2024}', '\u{2025}', '\u{2044}', '\u{2215}', '\u{2216}', '\u{29f5}', '\u{29f8}', '\u{29f9}',
    '\u{fe52}', '\u{fe68}', '\u{ff0e}', '\u{ff0f}', '\u{ff3c}', '\u{ff61}',
];

/// A path without detours.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    absolute: bool,
    parts: Vec<String>,
}

/// Whether every reading of `path` stays below one of `folders`; `.` among them stands for
/// relative paths that do not climb.
pub(crate) fn below(path: &str, folders: &[String]) -> Result<(), String> {
    let folders: Vec<Place> = folders
        .iter()
        .map(|folder| place(folder).map_err(|why| format!("cannot be judged: `{folder}` {why}")))
        .collect::<Result<_, _>>()?;
    let fits = |reading: &str| {
        place(reading).is_ok_and(|place| {
            folders.iter().any(|folder| {
                folder.absolute == place.absolute && place.parts.starts_with(&folder.parts)
            })
        })
    };
    let mut reading = path.to_owned();
    for _ in 0..=LAYERS {
        if !fits(&reading) {
            break;
        }
        match decoded(&reading) {
            None => return Ok(()),
            Some(Ok(next)) => reading = next,
            Some(Err(())) => break,
        }
    }
    Err("must be a path below".to_owned())
}

/// The path without `.`, `..` and empty parts; an error says what makes it doubtful.
fn place(path: &str) -> Result<Place, &'static str> {
    if path.chars().any(|one| one.is_control() || LOOKALIKES.contains(&one)) {
        return Err("holds characters that no path needs");
    }
    let path = path.replace('\\', "/");
    let path = match path.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case("file:") => {
            let rest = path.get(5..).unwrap_or_default();
            let rest = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//"));
            rest.filter(|rest| rest.starts_with('/')).ok_or("is a file on another machine")?
        }
        _ => &path,
    };
    if path.is_empty() || path.starts_with("//") || path.starts_with('~') || path.contains("://") {
        return Err("is empty, or begins with `//` or `~`, or is a URL");
    }
    let mut absolute = path.starts_with('/');
    let mut parts: Vec<String> = Vec::new();
    let mut rest = path;
    if let [letter, b':', after @ ..] = path.as_bytes()
        && letter.is_ascii_alphabetic()
    {
        // `C:x` depends on where the server stands.
        if after.first() != Some(&b'/') {
            return Err("is relative to a drive");
        }
        parts.push(format!("{}:", letter.to_ascii_lowercase() as char));
        rest = path.get(2..).unwrap_or_default();
        absolute = true;
    }
    let root = parts.len();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.len() > root => {
                parts.pop();
            }
            ".." => return Err("climbs"),
            // Windows drops dots and blanks at the end of a name.
            _ if part.trim_matches(['.', ' ']).is_empty() => return Err("has a part of dots"),
            _ => parts.push(part.to_owned()),
        }
    }
    Ok(Place { absolute, parts })
}

/// The text with its percent-escapes undone once; `None` where it has none, an error where it
/// is no text then.
fn decoded(text: &str) -> Option<Result<String, ()>> {
    let mut out = Vec::with_capacity(text.len());
    let mut found = false;
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%'
            && let [high, low, after @ ..] = after
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = after;
            found = true;
        } else {
            out.push(*byte);
        }
    }
    found.then(|| String::from_utf8(out).map_err(|_| ()))
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
