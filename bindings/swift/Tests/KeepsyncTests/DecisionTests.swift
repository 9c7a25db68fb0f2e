import Foundation
import Testing

@testable import Keepsync

/// What the platform parts decide, as functions over data.
struct Decisions {
    @Test(arguments: [
        (PathFacts(reach: .satisfied), true),
        (PathFacts(reach: .satisfied, constrained: true, expensive: true), true),
        (PathFacts(reach: .satisfied, captive: false), true),
        (PathFacts(reach: .satisfied, captive: true), false),
        (PathFacts(reach: .requiresConnection), true),
        (PathFacts(reach: .unknown), true),
        (PathFacts(reach: .unsatisfied), false),
        (PathFacts(reach: .unsatisfied, captive: false), false),
    ]) func a_path_is_a_hint_and_what_is_unknown_counts_as_there(facts: PathFacts, there: Bool) {
        #expect(facts.hint == there)
    }

    @Test func a_key_is_never_made_over_files_and_never_replaced() {
        let key = Data(repeating: 7, count: 32)
        let answers: [KeychainAnswer] = [.found(key), .found(Data([1])), .found(Data()), .none, .locked, .failed(-50)]
        for answer in answers {
            for files in [false, true] {
                let decision = KeyDecision(answer: answer, filesThere: files)
                #expect((decision == .make) == (answer == .none && !files))
                #expect((decision == .use(key)) == (answer == .found(key)))
            }
        }
    }

    @Test func a_folder_with_a_store_has_files() throws {
        let folder = try Folder()
        let url = URL(fileURLWithPath: folder.path)
        #expect(!StoreFolder.hasFiles(url))
        #expect(!StoreFolder.hasFiles(url.appendingPathComponent("not-there")))
        try StoreFolder.prepare(url.appendingPathComponent("deeper/still"), excludedFromBackup: true)
        #expect(!StoreFolder.hasFiles(url.appendingPathComponent("deeper/still")))
        // What is left after a damaged file was set aside, or only a log.
        try Data().write(to: url.appendingPathComponent("0badc0de.keepsync-wal"))
        #expect(StoreFolder.hasFiles(url))
    }

    static func report(pull: HalfResult = .worked, push: HalfResult = .worked, waiting: Int64 = 0) -> BackgroundEnd {
        .reported(
            Report(
                accepted: 0, pulled: 0, conflicts: 0, rebased: 0, parked: 0, gaveUp: 0, waiting: waiting, pull: pull,
                push: push, requests: 0))
    }

    static func failed(_ retry: RetryClass) -> BackgroundEnd {
        .failed(.Failed(code: "internal", retry: retry, detail: ""))
    }

    @Test(arguments: [
        (report(), false, BackgroundPlan(success: true, againAfter: BackgroundPlan.usual)),
        (report(waiting: 3), false, BackgroundPlan(success: true, againAfter: BackgroundPlan.soon)),
        (report(push: .failed(code: "offline")), false, BackgroundPlan(success: false, againAfter: BackgroundPlan.soon)),
        (report(pull: .failed(code: "timeout")), false, BackgroundPlan(success: false, againAfter: BackgroundPlan.soon)),
        (
            report(push: .failed(code: "sign_in"), waiting: 3), false,
            BackgroundPlan(success: false, againAfter: BackgroundPlan.usual)
        ),
        (report(), true, BackgroundPlan(success: false, againAfter: BackgroundPlan.soon)),
        (failed(.later), false, BackgroundPlan(success: false, againAfter: BackgroundPlan.soon)),
        (failed(.afterUser), false, BackgroundPlan(success: false, againAfter: BackgroundPlan.usual)),
        (failed(.never), false, BackgroundPlan(success: false, againAfter: nil)),
        (failed(.later), true, BackgroundPlan(success: false, againAfter: BackgroundPlan.soon)),
    ] as [(BackgroundEnd, Bool, BackgroundPlan)])
    func a_background_end_says_what_the_system_is_told(end: BackgroundEnd, expired: Bool, plan: BackgroundPlan) {
        #expect(BackgroundPlan(after: end, expired: expired) == plan)
    }

    @Test func leaving_suspends_under_an_assertion_and_coming_back_resumes() {
        var life = Life()
        #expect(life.on(.didEnterBackground) == [.tellForeground(false), .beginAssertion, .suspend])
        #expect(life.on(.suspended) == [.endAssertion])
        #expect(life.on(.willEnterForeground) == [.resume, .tellForeground(true)])
        // Back before it is done: to its end first.
        _ = life.on(.didEnterBackground)
        #expect(life.on(.willEnterForeground) == [])
        #expect(life.on(.suspended) == [.endAssertion, .resume, .tellForeground(true)])
        // The system does not wait.
        _ = life.on(.didEnterBackground)
        #expect(life.on(.assertionExpired) == [.endAssertion])
        #expect(life.on(.suspended) == [])
        // Work that came and went meanwhile may have opened the file again.
        _ = life.on(.willEnterForeground)
        _ = life.on(.didEnterBackground)
        _ = life.on(.workBegan)
        #expect(life.on(.workEnded) == [])
        #expect(life.on(.suspended) == [.suspend])
        #expect(life.on(.suspended) == [.endAssertion, .releaseWork])
        // Work in the background closes behind itself, and is complete only then.
        #expect(life.on(.workBegan) == [])
        #expect(life.on(.workEnded) == [.beginAssertion, .suspend])
        #expect(life.on(.suspended) == [.endAssertion, .releaseWork])
    }

    /// Every order of six events, with a suspension that ends at any time.
    @Test func whatever_the_order_no_file_stays_open_in_the_background() {
        struct World: Hashable {
            var suspensions = 0
            var fileOpen = true
            var assertions = 0
            var works = 0
            var released = 0
            var ended = 0
        }
        var seen = 0
        func settle(_ life: Life, _ world: World) {
            var (life, world) = (life, world)
            while world.works > 0 { step(&life, &world, .workEnded) }
            while world.suspensions > 0 { step(&life, &world, .suspended) }
            #expect(world.fileOpen == life.inFront, "\(life) \(world)")
            #expect(life.open == life.inFront, "\(life)")
            #expect(world.assertions == 0, "\(life) \(world)")
            #expect(world.released == world.ended, "\(life) \(world)")
            seen += 1
        }
        func step(_ life: inout Life, _ world: inout World, _ event: Life.Event) {
            switch event {
            case .suspended: world.suspensions -= 1
            case .workBegan:
                world.works += 1
                world.fileOpen = true
            case .workEnded:
                world.works -= 1
                world.ended += 1
            default: break
            }
            for it in life.on(event) {
                switch it {
                case .beginAssertion: world.assertions += 1
                case .endAssertion: world.assertions -= 1
                case .suspend:
                    world.suspensions += 1
                    world.fileOpen = false
                case .resume:
                    #expect(world.suspensions == 0, "resumed while it is being suspended")
                    world.fileOpen = true
                case .tellForeground: break
                case .releaseWork: world.released = world.ended
                }
            }
            #expect((0...1).contains(world.assertions))
            #expect((0...1).contains(world.suspensions))
        }
        func explore(_ life: Life, _ world: World, _ depth: Int) {
            settle(life, world)
            guard depth > 0 else { return }
            for event in Life.Event.allCases {
                if event == .suspended && world.suspensions == 0 || event == .workEnded && world.works == 0 { continue }
                var (life, world) = (life, world)
                step(&life, &world, event)
                explore(life, world, depth - 1)
            }
        }
        explore(Life(), World(), 6)
        #expect(seen > 1_000)
    }
}
