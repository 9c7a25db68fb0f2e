// The header is all there is: a C target without a source is not built.
