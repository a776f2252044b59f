//! Temporary seam.
pub fn token_hash(_g: domain::charge::GatewayName, t: &str) -> String {
    t.to_owned()
}
