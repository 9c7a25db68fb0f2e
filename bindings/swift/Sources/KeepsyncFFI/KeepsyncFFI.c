// SwiftPM wants a source file in a C target; the library is linked.
