//! A component that knows nothing of Tidegate: its functions become tools. Carries every
//! kind of type across and back. For the host's tests, and as an example.

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({
        inline: "
            package sample:text@1.0.0;
            interface shapes {
                enum color { red, green }
                flags access { read, write }
                variant shape { circle(f64), square(u32), none }
                record all {
                    flag: bool, small: s8, large: u64, ratio: f32, letter: char,
                    names: list<string>, pair: tuple<u8, string>, color: color,
                    access: access, shape: shape, maybe: option<u16>,
                    outcome: result<u8, string>, deep: option<option<u8>>, bytes: list<u8>,
                    exact: f64, least: s64, rows: list<tuple<string, option<bool>>>,
                    chosen: list<color>, done: result,
                }
                echo: func(value: all) -> all;
            }
            interface shelf {
                resource book { title: func() -> string; }
                open: func(title: string) -> book;
                spines: func(books: list<borrow<book>>) -> list<string>;
                slug: func(text: string) -> string;
                size: func() -> u32;
            }
            interface stack {
                size: func() -> u32;
                pop: func() -> result;
            }
            world sample {
                export shapes;
                export shelf;
                export stack;
                export slug: func(text: string, max: option<u32>) -> string;
                export divide: func(a: s64, b: s64) -> result<s64, string>;
                export forget: func();
            }
        ",
        world: "sample:text/sample",
        generate_all,
    });
}

use bindings::{
    Guest,
    exports::sample::text::{shapes, shelf, stack},
};

struct Sample;

struct Title(String);

impl Guest for Sample {
    fn slug(text: String, max: Option<u32>) -> String {
        let slug: String = text
            .to_lowercase()
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '-' })
            .collect();
        slug.chars().take(max.map_or(usize::MAX, |max| max as usize)).collect()
    }

    fn divide(a: i64, b: i64) -> Result<i64, String> {
        a.checked_div(b).ok_or_else(|| format!("{a} cannot be divided by {b}"))
    }

    fn forget() {}
}

impl shapes::Guest for Sample {
    fn echo(value: shapes::All) -> shapes::All {
        value
    }
}

impl shelf::Guest for Sample {
    type Book = Title;

    fn open(title: String) -> shelf::Book {
        shelf::Book::new(Title(title))
    }

    fn spines(books: Vec<shelf::BookBorrow<'_>>) -> Vec<String> {
        books.iter().map(|book| book.get::<Title>().0.clone()).collect()
    }

    fn slug(text: String) -> String {
        text.replace(' ', "_")
    }

    fn size() -> u32 {
        7
    }
}

impl stack::Guest for Sample {
    fn size() -> u32 {
        0
    }

    fn pop() -> Result<(), ()> {
        Err(())
    }
}

impl shelf::GuestBook for Title {
    fn title(&self) -> String {
        self.0.clone()
    }
}

bindings::export!(Sample with_types_in bindings);
