//! Store and adapter suites.

#[cfg(test)]
mod store_checks;
#[cfg(test)]
mod store_conformance;
#[cfg(test)]
mod store_faults;
#[cfg(test)]
mod store_list_checks;
#[cfg(test)]
mod store_parity;
#[cfg(test)]
mod store_rows;
#[cfg(test)]
mod store_samples;
#[cfg(test)]
mod store_tables;
