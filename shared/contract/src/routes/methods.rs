//! Payment methods.

use serde_json::json;
use shared::api::requests::{RegisterPaymentMethod, SetUpPaymentMethod};
use shared::api::{MethodBody, SetupBody};

use crate::examples;
use crate::operation::Operation;

const TAG: &str = "payment methods";

pub fn setup_payment_method() -> Operation {
    Operation::new(TAG, "Prepare the gateway's card window")
        .keyed()
        .takes::<SetUpPaymentMethod>(json!({ "gateway": "stripe" }))
        .answers::<SetupBody>(201, "What the browser needs to open it.", examples::setup())
        .refuses(402, &["card_declined"])
        .refuses(404, &["not_found"])
        .refuses(409, &["conflict"])
}

pub fn register_payment_method() -> Operation {
    Operation::new(TAG, "Register a card")
        .about("What is owed is charged with it at once; `charge` says what came of it.")
        .keyed()
        .takes::<RegisterPaymentMethod>(examples::registration())
        .answers::<MethodBody>(201, "Registered.", examples::method())
        .refuses(402, &["card_declined"])
        .refuses(404, &["not_found"])
        .refuses(409, &["conflict"])
}

pub fn list_payment_methods() -> Operation {
    Operation::new(TAG, "A tenant's cards, masked").paged().page::<MethodBody>("A page of cards.", examples::method())
}

pub fn delete_payment_method() -> Operation {
    Operation::new(TAG, "Forget a card that nothing uses")
        .empty(204, "Forgotten, here and at the gateway.")
        .refuses(409, &["conflict", "payment_method_in_use"])
}
