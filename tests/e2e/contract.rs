//! The document is served as it is, to everybody, and once.

use reqwest::Method;
use reqwest::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};

use crate::harness::Stack;

#[tokio::test]
async fn the_document_is_served_and_not_sent_twice() {
    let stack = Stack::new();
    let ask = || stack.request(Method::GET, "/openapi.json", None);
    let first = ask().send().await.unwrap();
    assert_eq!(first.status(), 200);
    assert!(first.headers()[CACHE_CONTROL].to_str().unwrap().starts_with("public, max-age="));
    let etag = first.headers()[ETAG].clone();
    let served: serde_json::Value = first.json().await.unwrap();
    assert!(served == ::contract::document(), "the deployed document is not the code's");

    let again = ask().header(IF_NONE_MATCH, &etag).send().await.unwrap();
    assert_eq!((again.status().as_u16(), &again.headers()[ETAG]), (304, &etag));
    assert!(again.bytes().await.unwrap().is_empty());
    assert_eq!(ask().header(IF_NONE_MATCH, "\"another\"").send().await.unwrap().status(), 200);
}
