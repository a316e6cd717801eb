//! Being told of changes by the kernel.
pub struct Changes;
pub struct Watch;
