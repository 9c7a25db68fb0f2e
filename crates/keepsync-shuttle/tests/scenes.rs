//! Each scene, often enough to be a test of every day; the command runs them for longer.

use keepsync_shuttle::{SCENES, run};

#[test]
fn every_scene_comes_to_its_end_however_its_threads_are_interleaved() {
    for (_, scene) in SCENES {
        run(scene, 500);
    }
}
