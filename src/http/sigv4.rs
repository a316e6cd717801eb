//! Amazon's signature version 4, as S3 and what speaks its language want it.
