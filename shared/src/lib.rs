//! Everything a function is assembled from. Directions: `web, jobs -> usecase -> {gateway, store} -> domain`;
//! gateway and store never see each other. Only `store` names the DynamoDB SDK, only `gateway` names reqwest, only
//! `config` reads the environment and builds clients; nothing here reads a clock or makes randomness.

pub mod api;
pub mod crypto;
pub mod gateway;
pub mod ports;
pub mod store;
pub mod usecase;

pub use domain;
