//! The name on the disk of an item whose folder has another of its name on the service.

use super::conflict::{mark, split_ending};

/// The name for the item of this id: the same whenever it is asked for.
pub fn namesake(name: &str, id: &str) -> String {
    let (stem, ending) = split_ending(name);
    format!("{stem} ({}){ending}", mark(id))
}

/// Whether the item of this id goes by `own` because it is called `name` on the service.
pub fn is_namesake(own: &str, name: &str, id: &str) -> bool {
    // Most names differ in more than a mark.
    own.len() > name.len() && !id.is_empty() && own == namesake(name, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_stays_and_the_name_is_always_the_same() {
        let name = namesake("photo.jpg", "1aBcD");
        assert!(name.starts_with("photo (") && name.ends_with(").jpg"), "{name}");
        assert_eq!(name, namesake("photo.jpg", "1aBcD"));
        assert_ne!(name, namesake("photo.jpg", "1aBcE"));
        assert!(is_namesake(&name, "photo.jpg", "1aBcD"));
        assert!(!is_namesake(&name, "photo.jpg", "1aBcE") && !is_namesake(&name, "photo", "1aBcD"));
        assert!(!is_namesake("photo.jpg", "photo.jpg", "1aBcD"));
    }
}
