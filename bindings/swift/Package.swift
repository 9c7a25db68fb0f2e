// swift-tools-version: 6.0
import Foundation
import PackageDescription

// Where the library comes from, the first that there is:
// - KEEPSYNC_XCFRAMEWORK: the framework that `scripts/build-ios` makes. An address needs KEEPSYNC_XCFRAMEWORK_CHECKSUM, a path
//   is relative to this file.
// - KeepsyncFFI.xcframework beside this file.
// - KEEPSYNC_LIBRARY_DIR: the directory of libkeepsync_ffi.so or .dylib, which cargo has built for this machine.
// A release's own Package.swift names address and checksum where this one asks the environment: see README.md.
let environment = ProcessInfo.processInfo.environment
let beside = "KeepsyncFFI.xcframework"

func framework() -> Target? {
    let there = FileManager.default.fileExists(atPath: "\(Context.packageDirectory)/\(beside)")
    guard let place = environment["KEEPSYNC_XCFRAMEWORK"] ?? (there ? beside : nil) else { return nil }
    guard place.hasPrefix("https://") else { return .binaryTarget(name: "KeepsyncFFI", path: place) }
    return .binaryTarget(
        name: "KeepsyncFFI", url: place, checksum: environment["KEEPSYNC_XCFRAMEWORK_CHECKSUM"] ?? "")
}

var library: [LinkerSetting] = []
if framework() == nil, let directory = environment["KEEPSYNC_LIBRARY_DIR"] {
    library = [
        .unsafeFlags(["-L", directory, "-Xlinker", "-rpath", "-Xlinker", directory]),
        .linkedLibrary("keepsync_ffi"),
    ]
}

let package = Package(
    name: "Keepsync",
    platforms: [.iOS("16.4"), .macOS(.v13)],
    products: [.library(name: "Keepsync", targets: ["Keepsync"])],
    targets: [
        framework() ?? .target(name: "KeepsyncFFI"),
        // Generated. In Swift 5 mode: what UniFFI 0.32 writes for asynchronous traits does not compile in Swift 6 mode.
        .target(
            name: "KeepsyncCore", dependencies: ["KeepsyncFFI"], swiftSettings: [.swiftLanguageMode(.v5)],
            linkerSettings: library + [.linkedFramework("SystemConfiguration", .when(platforms: [.iOS, .macOS]))]),
        .target(
            name: "Keepsync", dependencies: ["KeepsyncCore"],
            resources: [.copy("PrivacyInfo.xcprivacy")]),
        // Logs sets until it is killed.
        .executableTarget(name: "Lifter", dependencies: ["Keepsync"], path: "Tests/Lifter"),
        .testTarget(name: "KeepsyncTests", dependencies: ["Keepsync"]),
        .executableTarget(name: "Bench", dependencies: ["Keepsync"]),
    ],
    swiftLanguageModes: [.v6]
)
