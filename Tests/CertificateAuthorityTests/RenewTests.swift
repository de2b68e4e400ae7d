import BackupModel
import Foundation
import Testing

@testable import CertificateAuthority

@Suite(.timeLimit(.minutes(2))) struct RenewTests {
    private func place(_ names: String...) throws -> Place {
        let place = Place()
        try place.run("init")
        for name in names { try place.run("issue \(name)") }
        _ = place.takeSaid()
        return place
    }

    @Test func whatIsNotDueStaysAsItIs() throws {
        let place = try place("db1", "db2")
        let before = place.files().map { place.bytes($0) }
        try place.run("renew", at: noon + 59 * day)
        #expect(place.takeSaid() == "2 certificates need no renewal before 2027-01-20 11:58:20 UTC")
        try place.run("renew db1", at: noon + 59 * day)
        #expect(place.takeSaid() == "1 certificate needs no renewal before 2027-01-20 11:58:20 UTC")
        try place.run("renew ca", at: noon + 59 * day)
        #expect(place.takeSaid().contains("ca.crt' needs no renewal before 2033-07-"))
        #expect(place.files().map { place.bytes($0) } == before)
        #expect(place.takeWarned().isEmpty)
    }

    @Test func whatIsDueKeepsNamesKeyAndLength() async throws {
        let place = try place("db1 db1.example.com 10.0.0.1")
        try place.run("issue db2", at: noon + 50 * day)
        let key = place.bytes("db1.key")
        let other = place.bytes("db2.crt")
        let names = try await place.field("db1.crt", "-ext subjectAltName,extendedKeyUsage,keyUsage -subject -pubkey")
        let serial = try await place.field("db1.crt", "-serial")
        _ = place.takeSaid()
        try place.run("renew", at: noon + 61 * day)
        let said = place.takeSaid()
        #expect(
            said.contains("renewed '\(place.path)/db1.crt' for db1, db1.example.com, 10.0.0.1, valid until 2027-04-21"))
        #expect(said.contains("1 certificate needs no renewal before 2027-03-"))
        #expect(place.bytes("db1.key") == key && place.bytes("db2.crt") == other)
        #expect(try place.mode("db1.crt") == 0o644)
        #expect(
            try await place.field("db1.crt", "-ext subjectAltName,extendedKeyUsage,keyUsage -subject -pubkey") == names)
        #expect(try await place.field("db1.crt", "-serial") != serial)
        #expect(try await place.verify("db1.crt", at: noon + 150 * day) == [])
        #expect(place.files() == ["ca.crt", "ca.key", "db1.crt", "db1.key", "db2.crt", "db2.key"])
    }

    @Test func keysMayBeElsewhere() async throws {
        let place = try place("db1")
        try FileManager.default.removeItem(atPath: "\(place.path)/db1.key")
        try place.run("renew db1", days: 30, force: true)
        #expect(place.files() == ["ca.crt", "ca.key", "db1.crt"])
        #expect(try await place.verify("db1.crt", at: noon + 29 * day) == [])
        #expect(try await place.verify("db1.crt", at: noon + 31 * day).count == 2)
    }

    @Test func oneThatCannotBeRenewedKeepsNoneOfTheOthers() async throws {
        let place = try place("a", "b", "c", "d")
        let other = Place()
        try other.run("init")
        try other.run("issue e")
        try FileManager.default.copyItem(atPath: "\(other.path)/e.crt", toPath: "\(place.path)/e.crt")
        try place.write("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", to: "a.crt")
        try FileManager.default.removeItem(atPath: "\(place.path)/c.key")
        try FileManager.default.copyItem(atPath: "\(place.path)/b.key", toPath: "\(place.path)/c.key")
        let kept = ["c.crt", "e.crt"].map { place.bytes($0) }
        let error = place.failure("renew", at: noon + 89 * day)
        #expect(error?.message == "2 of 5 certificates could not be renewed" && error?.code == .fileInvalid)
        let warned = place.takeWarned()
        #expect(
            warned.contains("a.crt' has no certificate") && warned.contains("c.key' is not the key of"), "\(warned)")
        #expect(place.takeSaid().contains("e.crt' was not issued by this authority"))
        #expect(["c.crt", "e.crt"].map { place.bytes($0) } == kept)
        for name in ["b.crt", "d.crt"] { #expect(try await place.verify(name, at: noon + 100 * day) == [], "\(name)") }
        // One fault is told as it is.
        let one = place.failure("renew c", at: noon + 89 * day)
        #expect(one?.message.contains("is not the key of") == true && one?.hint?.contains("issue --force c") == true)
        try place.run("issue c", force: true)
        #expect(try await place.verify("c.crt") == [])
    }

    @Test func anAuthorityIsRenewedByItsOwnKey() async throws {
        let place = try place("db1")
        let key = place.bytes("ca.key")
        try FileManager.default.copyItem(atPath: "\(place.path)/ca.crt", toPath: "\(place.path)/old-ca")
        let then = noon + 3300 * day
        try place.run("issue db2", at: then)
        #expect(place.takeWarned().contains("ends on 2036-11-18 12:00:00 UTC\nHINT: run 'permafrost tls renew ca'"))
        _ = place.takeSaid()
        try place.run("renew ca", at: then)
        #expect(place.takeSaid().contains("take it to every host before 2036-11-18 12:00:00 UTC"))
        #expect(place.bytes("ca.key") == key)
        try place.run("issue db3", at: then)
        #expect(place.takeWarned().isEmpty)
        // Old and new by new and old.
        for (name, authority) in [
            ("db2.crt", "ca.crt"), ("db2.crt", "old-ca"), ("db3.crt", "ca.crt"), ("db3.crt", "old-ca"),
        ] {
            #expect(try await place.verify(name, by: authority, at: then) == [], "\(name) \(authority)")
        }
        #expect(try await place.verify("db3.crt", at: then + 80 * day) == [])
    }

    @Test func anAuthorityThatIsNotValidSignsNothing() async throws {
        let place = try place("db1")
        let before = place.bytes("db1.crt")
        for line in ["renew", "renew db1", "issue db2"] {
            let over = place.failure(line, at: noon + 3651 * day)
            #expect(over?.code == .crypto && over?.hint?.contains("renew ca") == true, "\(over as Any)")
            let early = place.failure(line, at: noon - day)
            #expect(
                early?.code == .clock && early?.message.contains("and now is 2026-11-20") == true, "\(early as Any)")
        }
        #expect(place.bytes("db1.crt") == before && place.bytes("db2.key") == nil)
        // Both at once.
        try place.run("renew ca db1", at: noon + 3651 * day)
        #expect(try await place.verify("db1.crt", at: noon + 3660 * day) == [])
    }

    @Test func nothingToDoIsNoError() throws {
        let place = try place()
        try place.run("renew")
        #expect(place.takeSaid() == "there are no certificates in '\(place.path)'")
        let nowhere = Place()
        #expect(nowhere.failure("renew")?.code == .fileMissing)
        #expect(nowhere.failure("issue a")?.hint?.contains("permafrost tls init") == true)
        #expect(nowhere.files().isEmpty)
    }
}
