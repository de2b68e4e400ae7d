import Foundation
import TestSupport
import Testing

/// The files that `scripts/image-archive` writes, read by tar and sha256sum.
@Suite(.keepsScratchOnFailure, .timeLimit(.minutes(5)))
struct ImageArchiveTests {
    private static let script = URL(filePath: #filePath).appending(path: "../../../scripts/image-archive")
        .standardizedFileURL.path

    private func shell(_ text: String, in scratch: ScratchDirectory) async throws -> String {
        try await ProcessRunner.run(
            "sh", ["-euc", text], environment: ["SCRIPT": Self.script, "SOURCE_DATE_EPOCH": "1790000000"],
            directory: scratch.path
        ).expecting().stdout
    }

    @Test func aLayerHasWhatIsNewAndNamesWhatIsGone() async throws {
        try await withScratch { scratch in
            let listed = try await shell(
                """
                mkdir -p old/kept old/gone/deep old/changed old/turned
                for file in kept/same kept/old gone/file gone/deep/file changed/file turned/file; do echo 1 > old/$file; done
                ln -s same old/kept/link
                touch --date=@1700000000 $(find old -type f)
                cp -a old new
                rm -r new/kept/old new/gone new/turned
                echo 2 > new/changed/file
                echo 3 > new/turned
                mkdir new/added
                echo 4 > new/added/file
                ln new/added/file new/added/second
                "$SCRIPT" layer layer.tar new old
                tar -tf layer.tar
                """, in: scratch)
            // What is gone comes last, a whole folder by its own name.
            #expect(
                listed.split(separator: "\n") == [
                    "added/", "added/file", "added/second", "changed/", "changed/file", "turned", ".wh.gone",
                    "kept/.wh.old",
                ])
        }
    }

    @Test func anImageIsWhatItsSumsSay() async throws {
        try await withScratch { scratch in
            try scratch.write(
                #"{"created": "2026-09-21T13:33:20Z", "architecture": "amd64", "User": "999:999", "Cmd": ["x"]}"#,
                to: "settings.json")
            let said = try await shell(
                """
                mkdir -p one/usr two/usr
                echo 1 > one/usr/file
                echo 2 > two/usr/other
                touch --date=@1700000000 $(find one two)
                "$SCRIPT" layer one.tar one
                "$SCRIPT" layer two.tar two
                "$SCRIPT" image image.tar example.local/name:7 settings.json one.tar two.tar
                "$SCRIPT" image again.tar example.local/name:7 settings.json one.tar two.tar
                cmp image.tar again.tar
                mkdir image
                tar -xf image.tar -C image
                cd image/blobs/sha256
                for blob in *; do echo "$blob  $blob"; done | sha256sum --check --quiet
                ls | wc -l
                cmp ../../../one.tar "$(sha256sum < ../../../one.tar | cut -d ' ' -f 1)"
                """, in: scratch)
            #expect(said == "4\n")

            let document = { (name: String) in
                try JSONSerialization.jsonObject(
                    with: Data(contentsOf: URL(filePath: scratch.subpath("image/\(name)"))))
            }
            let listed = try #require((document("manifest.json") as? [[String: Any]])?.first)
            #expect(listed["RepoTags"] as? [String] == ["example.local/name:7"])
            let layers = try #require(listed["Layers"] as? [String])
            let path = try #require(listed["Config"] as? String)
            let config = try #require(document(path) as? [String: Any])
            let sums = (config["rootfs"] as? [String: Any])?["diff_ids"] as? [String]
            #expect(sums == layers.map { "sha256:" + ($0 as NSString).lastPathComponent })
            #expect((config["config"] as? [String: Any])?["User"] as? String == "999:999")
            #expect(config["architecture"] as? String == "amd64")

            let index = try #require(document("index.json") as? [String: Any])
            let entry = try #require((index["manifests"] as? [[String: Any]])?.first)
            let names = entry["annotations"] as? [String: String]
            #expect(names?["io.containerd.image.name"] == "example.local/name:7")
            let digest = try #require(entry["digest"] as? String).dropFirst("sha256:".count)
            let manifest = try #require(document("blobs/sha256/\(digest)") as? [String: Any])
            let digests = (manifest["layers"] as? [[String: Any]])?.compactMap { $0["digest"] as? String }
            #expect(digests == sums)
        }
    }
}
