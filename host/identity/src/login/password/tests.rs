//! Signing in with a password.

use super::*;
use crate::directory::{Bench, id};

const GOOD: &str = "three grey herons at dawn";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

async fn account(bench: &Bench, passwords: &Passwords) {
    let mut ann = bench.user("ann");
    ann.email = Some("ann@example.com".into());
    bench.directory.add(ann).await.unwrap();
    passwords.set(&bench.directory, &id("ann"), &secret(GOOD)).await.unwrap();
}

#[tokio::test]
async fn only_the_very_password_of_an_active_person_signs_in() {
    let bench = Bench::new().await;
    let passwords = Passwords::new(bench.ground.clock.clone());
    account(&bench, &passwords).await;
    bench.add("bob").await;
    let kept = bench.again().await.user(&id("ann")).unwrap().user.password.clone().unwrap();
    assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
    let attempt = async |name: &str, password: &str| {
        // Each from elsewhere, so that none waits for the others.
        bench.clock.pass(20 * 60_000);
        passwords.sign_in(&bench.directory, name, &secret(password), None).await
    };
    for name in ["ann", "ANN@example.com ", "ann@example.com"] {
        let ann = attempt(name, GOOD).await.unwrap();
        assert_eq!(ann.user.id, id("ann"), "{name}");
        assert_eq!(ann.user.last_sign_in, Some(bench.ground.clock.now()));
    }
    let longest = "x".repeat(5_000);
    let wrong = [
        ("ann", ""),
        ("ann", "three grey herons at dawN"),
        ("ann", longest.as_str()),
        ("bob", GOOD),
        ("eve", GOOD),
        ("", GOOD),
        ("a b", GOOD),
    ];
    for (name, password) in wrong {
        let refused = attempt(name, password).await.unwrap_err();
        assert!(matches!(refused, PasswordRefused::Wrong), "{name}: {refused}");
    }
    bench.directory.deactivate(&id("ann")).await.unwrap();
    assert!(matches!(attempt("ann", GOOD).await.unwrap_err(), PasswordRefused::Wrong));
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_right_password_waits_too() {
    let bench = Bench::new().await;
    let passwords = Passwords::new(bench.ground.clock.clone());
    account(&bench, &passwords).await;
    let source = Some("192.0.2.7".parse().unwrap());
    let attempt = async |password: &str| {
        passwords.sign_in(&bench.directory, "ann", &secret(password), source).await
    };
    for _ in 0..5 {
        assert!(matches!(attempt("wrong").await.unwrap_err(), PasswordRefused::Wrong));
    }
    assert!(matches!(attempt(GOOD).await.unwrap_err(), PasswordRefused::TooMany(_)));
    bench.clock.pass(1_000);
    attempt(GOOD).await.unwrap();
    attempt(GOOD).await.unwrap();
}

#[tokio::test]
async fn a_new_password_ends_what_was_signed_in() {
    let bench = Bench::new().await;
    let passwords = Passwords::new(bench.ground.clock.clone());
    account(&bench, &passwords).await;
    bench.clock.pass(5_000);
    let other = "four white swans at dusk";
    let ann = passwords.set(&bench.directory, &id("ann"), &secret(other)).await.unwrap();
    assert_eq!(ann.user.not_before, bench.ground.clock.now());
    let mut bot = User::new(id("bot"), Kind::Agent, bench.ground.clock.now());
    bot.email = None;
    bench.directory.add(bot).await.unwrap();
    let refused = passwords.set(&bench.directory, &id("bot"), &secret(other)).await.unwrap_err();
    assert!(matches!(refused, PasswordRefused::Directory(DirectoryError::Bad(_))), "{refused}");
}

#[tokio::test]
async fn more_than_can_wait_are_sent_away() {
    let bench = Bench::new().await;
    let passwords = Passwords::new(bench.ground.clock.clone());
    let held = passwords.doors.clone().acquire_many_owned(u32::try_from(WAITING).unwrap());
    let held = held.await.unwrap();
    let refused = passwords.digest(&secret(GOOD), &[]).await.unwrap_err();
    assert!(matches!(refused, PasswordRefused::Busy), "{refused}");
    drop(held);
    passwords.digest(&secret(GOOD), &[]).await.unwrap();
}

#[test]
fn what_is_guessed_first_is_not_taken() {
    let names = ["ann.example@mail.example.com", "ann.example@mail.example.com"];
    let rows = [
        ("", Err(Weak::Short)),
        ("elevenchars", Err(Weak::Short)),
        ("ann.example@mail.example.com", Err(Weak::Name)),
        ("ANN.EXAMPLE123", Err(Weak::Name)),
        ("password1234", Err(Weak::Usual)),
        ("Password!2027", Err(Weak::Usual)),
        ("qwertyuiop123", Err(Weak::Usual)),
        ("aaaaaaaaaaaaaaaa", Err(Weak::Usual)),
        ("ababababababab", Err(Weak::Usual)),
        ("123456789012", Err(Weak::Usual)),
        ("abcdefghijklmn", Err(Weak::Usual)),
        ("zyxwvutsrqpon", Err(Weak::Usual)),
        ("welcome welcome", Err(Weak::Usual)),
        (GOOD, Ok(())),
        ("dä dö dü dé dà dù", Ok(())),
        ("9f8a-77cd-01be", Ok(())),
        ("secretary birds", Ok(())),
    ];
    for (password, expected) in rows {
        assert_eq!(weak::check(password, &names), expected, "{password}");
    }
    assert_eq!(weak::check(&"ab1c".repeat(65), &[]), Err(Weak::Long));
    assert_eq!(weak::check(&"ab1c".repeat(64), &[]), Ok(()));
}
