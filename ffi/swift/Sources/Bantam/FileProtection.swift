// Files that the system takes away while a device is locked.
import Foundation

/// What to do with a model file of the data protection classes `complete` and `completeUnlessOpen`.
///
/// A model is mapped, and its pages are read whenever they are needed. While an iPhone or iPad is locked the system cannot decrypt such a
/// file: a page that is needed then cannot be had, which ends the app. On other systems files have no such class, and nothing is done.
public enum FileProtection: Sendable {
    /// Opening fails with ``BantamError/Code/io``.
    case refuse
    /// The file becomes one that can be read from the first unlocking after a start on (`completeUntilFirstUserAuthentication`, which is what
    /// files of apps are unless they ask for more).
    case reclassify

    /// Does it.
    func check(path: String) throws {
        #if os(iOS) || os(visionOS) || os(tvOS) || os(watchOS)
        // A file that is not there gets its error from the library.
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        guard let protection = attributes?[.protectionKey] as? FileProtectionType,
            protection == .complete || protection == .completeUnlessOpen
        else { return }
        let reclassified: [FileAttributeKey: Any] = [.protectionKey: FileProtectionType.completeUntilFirstUserAuthentication]
        if self == .reclassify, (try? FileManager.default.setAttributes(reclassified, ofItemAtPath: path)) != nil { return }
        throw BantamError(
            code: .io,
            message: "the file is protected (\(protection.rawValue)) and cannot be read while the device is locked; give it "
                + "completeUntilFirstUserAuthentication, or open it with fileProtection: .reclassify")
        #endif
    }
}
