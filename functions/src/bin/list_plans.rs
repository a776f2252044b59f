//! Lists the plans on sale.
fn main() {}
