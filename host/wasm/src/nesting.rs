//! How deep components lie within each other.
//!
//! The compiler follows them all the way down and takes memory that grows with the square of
//! the depth: a file of half a megabyte would be the end of the process. So a file is looked
//! at before the compiler sees it. Reads nothing but the headers of sections; what is
//! malformed is left for the compiler to name.

/// Components in components that ordinary tools make are fewer than ten deep.
pub(crate) const DEEPEST: usize = 64;

const HEADER: usize = 8;
/// Section of a component that holds another one.
const NESTED: u8 = 4;

/// Whether components lie more than [`DEEPEST`] deep in this one.
pub(crate) fn is_too_deep(component: &[u8]) -> bool {
    // What is left to read of every component that the present one lies in.
    let mut around: Vec<&[u8]> = Vec::new();
    let mut rest = component.get(HEADER..).unwrap_or_default();
    loop {
        let Some((kind, content, after)) = section(rest) else {
            let Some(outer) = around.pop() else { return false };
            rest = outer;
            continue;
        };
        if kind == NESTED {
            around.push(after);
            if around.len() > DEEPEST {
                return true;
            }
            rest = content.get(HEADER..).unwrap_or_default();
        } else {
            rest = after;
        }
    }
}

/// The first section, its kind and content, and what follows it.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, bytes) = bytes.split_first()?;
    let (size, bytes) = number(bytes)?;
    let (content, after) = bytes.split_at_checked(size)?;
    Some((*kind, content, after))
}

/// An unsigned number of at most 32 bits in the format's variable length.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn written(mut size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while size >= 0x80 {
            bytes.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        bytes.push(size as u8);
        bytes
    }

    /// An empty component within a component and so on, `depth` times.
    pub(crate) fn nested(depth: usize) -> Vec<u8> {
        let mut sizes = vec![EMPTY.len()];
        for level in 0..depth {
            sizes.push(EMPTY.len() + 1 + written(sizes[level]).len() + sizes[level]);
        }
        let mut bytes = Vec::new();
        for level in (0..depth).rev() {
            bytes.extend_from_slice(EMPTY);
            bytes.push(NESTED);
            bytes.extend(written(sizes[level]));
        }
        bytes.extend_from_slice(EMPTY);
        assert_eq!(bytes.len(), sizes[depth]);
        bytes
    }

    #[test]
    fn depth_is_counted_and_width_is_not() {
        for (depth, expected) in [(0, false), (1, false), (64, false), (65, true), (100_000, true)]
        {
            assert_eq!(is_too_deep(&nested(depth)), expected, "{depth}");
        }
        let one = nested(40);
        let mut wide = EMPTY.to_vec();
        for _ in 0..100 {
            wide.push(NESTED);
            wide.extend(written(one.len()));
            wide.extend_from_slice(&one);
        }
        assert!(!is_too_deep(&wide));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            is_too_deep(&bytes);
        }
    }
}
