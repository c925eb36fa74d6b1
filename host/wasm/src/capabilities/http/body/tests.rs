use http_body_util::{BodyExt, Full, StreamBody};

use super::*;

const BEGINNING: &str = "tgh_0123456789";

fn outbound(pieces: &[&'static str], budget: &Budget) -> Outbound {
    let pieces: Vec<Result<_, Error>> =
        pieces.iter().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))).collect();
    let guest = StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync();
    Outbound::new(guest, budget.clone(), Some(BEGINNING))
}

async fn sent(mut body: Outbound) -> Result<usize, String> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.map_err(|error| error.to_string())?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}

#[tokio::test]
async fn no_body_leaves_with_a_handle() {
    let budget = Budget::new(1 << 10);
    for (pieces, fine) in [
        (&["plain", "tgh_", "text"][..], true),
        (&["tgh_012345678", "", "x9"], true),
        (&["a tgh_0123456789 b"], false),
        (&["a tgh_", "0123456789"], false),
        (&["t", "g", "h", "_", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], false),
        (&["a long text before the tgh_012", "3456789 and a long text after it"], false),
        (&["a long text before the tgh_0", "1234", "56789"], false),
    ] {
        let found = sent(outbound(pieces, &budget)).await;
        assert_eq!(found.is_ok(), fine, "{pieces:?}: {found:?}");
    }
}

#[tokio::test]
async fn all_bodies_together_are_bounded() {
    let budget = Budget::new(10);
    assert_eq!(sent(outbound(&["12345", "678"], &budget)).await, Ok(8));
    assert!(sent(outbound(&["123"], &budget)).await.is_err());
    assert_eq!(sent(outbound(&["12"], &budget)).await, Ok(2));
    assert!(sent(outbound(&["1"], &budget)).await.is_err());
}

#[tokio::test]
async fn trailers_do_not_leave() {
    let trailers = async { Some(Ok(http::HeaderMap::new())) };
    let guest = Full::new(Bytes::from_static(b"x")).map_err(|never| match never {});
    let guest = guest.with_trailers(trailers).boxed_unsync();
    let body = Outbound::new(guest, Budget::new(10), None);
    assert!(sent(body).await.unwrap_err().contains("trailer"));
}
