import PostgresFormats
import Testing

@Suite struct PostgresVersionTests {
    @Test(
        arguments: [
            ("9.6", 90600), ("10", 100_000), ("13", 130_000), ("18", 180_000), ("19", 190_000), ("9.4", 90400),
            ("8.3", 80300),
        ] as [(String, Int)])
    func readsAndWritesText(text: String, number: Int) {
        #expect(PostgresVersion(text)?.number == number)
        #expect(PostgresVersion(number: number).description == text)
    }

    @Test(arguments: [
        "", ".", "9", "9.", ".6", "09.6", "9.06", "9.6.1", "10.1", "100", "1e1", "-9.6", "+10", " 10", "10 ", "1٠", "x",
        "0.1",
        "9999999999999999999999",
    ])
    func refusesText(text: String) {
        #expect(PostgresVersion(text) == nil)
    }

    @Test(arguments: [
        (90624, 90600), (90600, 90600), (100_023, 100_000), (130_000, 130_000), (150_013, 150_000), (180_001, 180_000),
        (90426, 90400),
    ])
    func findsTheMajor(server: Int, number: Int) {
        #expect(PostgresVersion(serverVersionNumber: server).number == number)
    }

    @Test(arguments: ControlFixture.all)
    func knowsEachVersion(fixture: ControlFixture) throws {
        let version = try #require(
            PostgresVersion(controlVersion: fixture.control, catalogVersion: fixture.catalog))
        #expect(version.description == fixture.version)
        #expect(version.number == fixture.number)
        #expect(version.isSupported == ["13", "14", "15", "16", "17", "18"].contains(fixture.version))
        #expect(version.walDirectory == (fixture.version == "9.6" ? "pg_xlog" : "pg_wal"))
        #expect(version.transactionDirectory == (fixture.version == "9.6" ? "pg_clog" : "pg_xact"))
        #expect(
            version.tablespaceDirectory(catalogVersion: fixture.catalog) == "PG_\(fixture.version)_\(fixture.catalog)")
    }

    @Test func orders() {
        let versions = ControlFixture.all.map { PostgresVersion(number: $0.number) }
        #expect(versions.reversed().sorted() == versions)
    }
}
