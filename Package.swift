// swift-tools-version: 6.0
// The Swift package of Bantam; its sources lie in ffi/swift, as SwiftPM takes a package by URL from a repository's root only. docs/swift.md
// tells how apps use it.
import PackageDescription

// Where a release of the library for Apple's systems lies, and its checksum: nil takes ffi/swift/CBantam.xcframework, which
// scripts/build-xcframework makes. `scripts/build-xcframework --release URL` writes this line.
let release: (url: String, checksum: String)? = nil

#if os(macOS)
// Apple's systems: the library comes in an XCFramework, with its header and module map.
let library: Target =
    if let release {
        .binaryTarget(name: "CBantam", url: release.url, checksum: release.checksum)
    } else {
        .binaryTarget(name: "CBantam", path: "ffi/swift/CBantam.xcframework")
    }
#else
// Linux: the library is the system's, found by pkg-config (`make install`) or in the linker's path.
let library: Target = .systemLibrary(name: "CBantam", path: "ffi/swift/Sources/CBantam", pkgConfig: "bantam")
#endif

let package = Package(
    name: "Bantam",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "Bantam", targets: ["Bantam"])],
    targets: [
        library,
        .target(
            name: "Bantam",
            dependencies: ["CBantam"],
            path: "ffi/swift/Sources/Bantam",
            resources: [.copy("Resources/PrivacyInfo.xcprivacy")],
            // A static library says nothing of what it needs itself.
            linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]
        ),
        .executableTarget(name: "ChatExample", dependencies: ["Bantam"], path: "examples/swift"),
        .testTarget(name: "BantamTests", dependencies: ["Bantam", "CBantam"], path: "ffi/swift/Tests/BantamTests"),
    ],
    swiftLanguageModes: [.v6]
)
