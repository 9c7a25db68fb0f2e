//! A text that is brought in, as another device's export.
//!
//! 1. What is refused has written nothing; what is wrong is told by line, never by content.
//! 2. What is brought in is what the text says, and its export says the same: brought into another device
//!    and out again it does not change.

use crate::device::{Device, collections};
use keepsync::{
    Error,
    carry::{self, Import, Imported},
    settings::Settings,
};

pub(crate) fn run(data: &[u8]) {
    let import = match Import::parse(data, &collections(), &Settings::default()) {
        Ok(import) => import,
        Err(bad) => {
            let told = bad.to_string();
            assert!(told.len() < 400 && !told.contains("nightingale"), "{told}");
            return;
        }
    };
    assert!(!format!("{import:?}").contains("nightingale"));
    let mut device = Device::in_memory();
    if bring(&mut device, &import).is_none() {
        return;
    }
    assert_eq!(device.problems(), Vec::<String>::new());
    let text = export(&device);
    // The same again: nothing to do.
    let again = Import::parse(text.as_bytes(), &collections(), &Settings::default()).unwrap();
    let done = bring(&mut device, &again).expect("what it gave itself is refused");
    assert_eq!(done.written, 0, "what is the same was written");
    let mut another = Device::in_memory();
    assert!(bring(&mut another, &again).is_some());
    assert_eq!(export(&another), text);
}

/// What came in, if all of it did; a write can be refused that reading could not know of.
fn bring(device: &mut Device, import: &Import) -> Option<Imported> {
    let mut so_far = Imported::default();
    while !import.is_done(so_far) {
        match device.db.write(|write| import.bring(write, so_far)) {
            Ok((after, _)) => {
                assert_ne!(after, so_far, "it does not go on");
                so_far = after;
            }
            Err(Error::Invalid { .. } | Error::SessionState { .. } | Error::UnknownCollection(_)) => return None,
            Err(problem) => panic!("{problem}"),
        }
    }
    Some(so_far)
}

fn export(device: &Device) -> String {
    device.db.read(|read| carry::export(read, 0)).unwrap().text
}
