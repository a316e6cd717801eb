//! The icon, drawn once for all sizes.

use crate::{Result, at};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::fs;
use std::path::Path;

/// The icon.
pub struct Icon {
    tree: Tree,
}

impl Icon {
    /// Reads the SVG.
    pub fn read(path: &Path) -> Result<Icon> {
        let svg = fs::read(path).map_err(at(path))?;
        let tree = Tree::from_data(&svg, &Options::default()).map_err(at(path))?;
        Ok(Icon { tree })
    }

    /// A PNG with a side of so many pixels.
    pub fn png(&self, side: u32) -> Result<Vec<u8>> {
        let mut pixels = Pixmap::new(side, side).ok_or("an icon needs a size")?;
        let size = self.tree.size();
        let scale = Transform::from_scale(side as f32 / size.width(), side as f32 / size.height());
        resvg::render(&self.tree, scale, &mut pixels.as_mut());
        Ok(pixels.encode_png()?)
    }
}
