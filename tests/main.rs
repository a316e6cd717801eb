//! Every integration test, in one binary to link once.

mod command_line;
