/** Made by types.mjs from openapi.json: `npm run types`. The source is engine/server/shapes. */

import type { Json } from "./json";

export interface components {
    schemas: {
        /** @description Steps of `items` items that share forwards with no other: which node, and why. */
        Alone: {
            node: string;
            why: string;
            items: number;
        };
        /** @description An effect found its result in place: same content, same settings, the file still there. */
        AlreadySavedEvent: {
            /** @constant */
            event: "already_saved";
            job: string;
            path: string;
            files: string[];
            item?: number;
            seq: number;
        };
        /** @description One axis of a sweep: the inputs it sets (`node.input`, or a parameter) and the values it goes through. */
        Axis: {
            to: string[];
            values: Json[];
            label?: string | null;
        };
        /**
         * @description `count` items that differ in a seed: the input or inputs (or the parameter) that hold it.
         *
         *         `increment` counts up from the seed that the workflow has, `random` draws each but the first, `fixed` keeps it.
         */
        Batch: {
            count: number;
            /** @default seed */
            seed: string | string[];
            /**
             * @default increment
             * @enum {string}
             */
            policy: "increment" | "random" | "fixed";
        };
        /** @description A node that a new one needs: which of its outputs goes into which input. */
        Beside: {
            type: string;
            into: string;
            output?: string;
            inputs?: {
                [key: string]: Json;
            };
        };
        /** @description A picture: its content hash (`GET /api/blobs/{blob}`) and size in pixels. */
        Blob: {
            blob: string;
            width: number;
            height: number;
            /** @default image/png */
            mime: string;
        };
        /** @description One difference: what, before and after; null where it was not there. */
        Change: {
            what: string;
            before: Json;
            after: Json;
        };
        /** @description A workflow to look at. */
        CheckRequest: {
            workflow: {
                [key: string]: Json;
            };
        };
        /** @description Everything that is wrong with a workflow, and advice. */
        Checked: {
            problems: components["schemas"]["Problem"][];
            lints: components["schemas"]["Problem"][];
        };
        /** @description What an input may be set to, just now. */
        ChoiceList: {
            choices: string[];
        };
        /** @description A device's memory: of it, what Weft may use and uses. */
        DeviceMemory: {
            device: string;
            total: number;
            free: number;
            limit: number;
            used: number;
            residents: components["schemas"]["Resident"][];
        };
        /** @description In what two graphs differ; nothing when they are equal but for layout. */
        Diff: {
            changes: components["schemas"]["Change"][];
        };
        /** @description Two graphs to compare. */
        DiffRequest: {
            a: components["schemas"]["ResultRef"];
            b: components["schemas"]["ResultRef"];
        };
        /** @description What is kept on disk between runs, and how much may be. */
        Disk: {
            values: number;
            bytes: number;
            limit: number;
        };
        /** @description One document command of a mend: one of set, wire, unset, remove, insert and put. */
        Edit: {
            set?: string;
            value?: Json;
            wire?: string;
            from?: string;
            unset?: string;
            remove?: string;
            insert?: components["schemas"]["Insert"];
            put?: components["schemas"]["Put"];
        };
        /** @description What a saved workflow takes and gives; `outputs` are types by name. */
        Endpoint: {
            name: string;
            title: string;
            about: string;
            parameters: components["schemas"]["Parameter"][];
            schema: {
                [key: string]: Json;
            };
            outputs: {
                [key: string]: string;
            };
        };
        /** @description A message of the socket. */
        Event: components["schemas"]["HelloEvent"] | components["schemas"]["JobQueuedEvent"] | components["schemas"]["JobStartedEvent"] | components["schemas"]["JobFinishedEvent"] | components["schemas"]["ItemStartedEvent"] | components["schemas"]["ItemFinishedEvent"] | components["schemas"]["StepPicturesEvent"] | components["schemas"]["StepProgressEvent"] | components["schemas"]["QueueChangedEvent"] | components["schemas"]["JobDeletedEvent"] | components["schemas"]["TabChangedEvent"] | components["schemas"]["WorkflowSavedEvent"] | components["schemas"]["WorkflowDeletedEvent"] | components["schemas"]["SettingsChangedEvent"] | components["schemas"]["MemoryFreedEvent"] | components["schemas"]["NodesChangedEvent"] | components["schemas"]["ServerReadyEvent"] | components["schemas"]["PlannedEvent"] | components["schemas"]["MemoryHeldEvent"] | components["schemas"]["StepHitEvent"] | components["schemas"]["StepStartedEvent"] | components["schemas"]["WeightsComingEvent"] | components["schemas"]["WeightsNearEvent"] | components["schemas"]["StepFinishedEvent"] | components["schemas"]["AlreadySavedEvent"] | components["schemas"]["SavedEvent"] | components["schemas"]["StepShownEvent"] | components["schemas"]["StepFailedEvent"] | components["schemas"]["StepBlockedEvent"] | components["schemas"]["StepCancelledEvent"] | components["schemas"]["StepRetriedEvent"] | components["schemas"]["LintedEvent"];
        /** @description The body of every 4xx and 5xx reply. */
        Failure: {
            error: components["schemas"]["Problem"];
            problems: components["schemas"]["Problem"][];
        };
        /** @description The items to finish (all when left out), and what to set anew for them, by `node.input`. */
        FinishRequest: {
            items?: number[] | null;
            /** @default {} */
            set: {
                [key: string]: Json;
            };
            title?: string | null;
        };
        /** @description A folder of the server's: what lies in it, and where it is. */
        Folder: {
            what: string;
            path: string;
        };
        /**
         * @description What a job with items would cost: `todo` of all denoise `steps` and `run` of all `nodes` would be computed.
         *
         *         What items share counts once. The first `looked` items were planned; the figures of the others go on like theirs.
         *         `sharing` when it was asked for with `together`.
         */
        Forecast: {
            items: number;
            looked: number;
            steps: number;
            todo: number;
            nodes: number;
            run: number;
            seconds: number | null;
            problems: components["schemas"]["Problem"][];
            sharing?: components["schemas"]["Sharing"];
        };
        /** @description What to give back, as far as it is not in use: models, values in memory, values on disk. */
        FreeRequest: {
            /** @default false */
            models: boolean;
            /** @default false */
            values: boolean;
            /** @default false */
            disk: boolean;
        };
        /** @description The bytes that were given back. */
        Freed: {
            bytes: number;
        };
        /** @description Pictures, newest first; `next` is what `before` has to be for those that follow, null when there are none. */
        Gallery: {
            pictures: components["schemas"]["GalleryPicture"][];
            next?: number;
        };
        /** @description A picture that was made: by which job and item, when, for which prompt; `draft` when it was stopped early. */
        GalleryPicture: {
            job: string;
            blob: string;
            width: number;
            height: number;
            title: string;
            at: number;
            item?: number;
            /** @default  */
            prompt: string;
            /** @default  */
            label: string;
            /** @default  */
            node: string;
            /** @default false */
            draft: boolean;
        };
        /** @description The exact workflow that made a result: every value and seed as it ran. */
        Graph: {
            workflow: components["schemas"]["Workflow"];
        };
        /** @description The process answers; `ready` once the engine does too. */
        Health: {
            ok: boolean;
            ready: boolean;
            version: string;
        };
        /** @description The first message: the server's epoch and newest number; `snapshot` when something may have been missed. */
        HelloEvent: {
            /** @constant */
            event: "hello";
            epoch: string;
            seq: number;
            /** @enum {string} */
            mode: "resumed" | "snapshot";
        };
        /** @description One input: a socket (unless `wired` is false), a widget (unless `typed` is false), or both. */
        Input: {
            name: string;
            type: components["schemas"]["Type"] | string;
            default?: Json;
            gather?: string;
            help?: string;
            enum?: string;
            wired?: boolean;
            typed?: boolean;
            keyed?: boolean;
            widget?: components["schemas"]["Widget"];
            variants?: components["schemas"]["Variant"][];
        };
        /** @description A node between the two ends of a wire. */
        Insert: {
            type: string;
            between: [
                string,
                string
            ];
            input?: string;
            output?: string;
        };
        /** @description One of a job's items: `set` is what it has of its own, by `node.input`; its pictures, the workflow's first. */
        Item: {
            index: number;
            set: {
                [key: string]: Json;
            };
            label: string;
            /** @enum {string} */
            state: "queued" | "running" | "partial" | "succeeded" | "failed" | "cancelled" | "interrupted";
            outputs: components["schemas"]["Output"][];
            fraction: number;
            values?: {
                [key: string]: Json;
            };
            files?: string[];
            started?: number;
            finished?: number;
            error?: components["schemas"]["Problem"];
            problems?: components["schemas"]["Problem"][];
        };
        /** @description One of a job's items is over; the fields are those of an item. */
        ItemFinishedEvent: {
            /** @constant */
            event: "item_finished";
            job: string;
            item: number;
            seconds: number;
            index: number;
            set: {
                [key: string]: Json;
            };
            label: string;
            /** @enum {string} */
            state: "queued" | "running" | "partial" | "succeeded" | "failed" | "cancelled" | "interrupted";
            outputs: components["schemas"]["Output"][];
            fraction: number;
            values?: {
                [key: string]: Json;
            };
            files?: string[];
            started?: number;
            finished?: number;
            error?: components["schemas"]["Problem"];
            problems?: components["schemas"]["Problem"][];
            seq: number;
        };
        /** @description One of a job's items begins. */
        ItemStartedEvent: {
            /** @constant */
            event: "item_started";
            job: string;
            item: number;
            seq: number;
        };
        /** @description Which items of a job; all of them (or all that make sense) when left out. */
        ItemsRequest: {
            items?: number[] | null;
        };
        /**
         * @description One job. `position` counts from 0 among the queued; `pictures` is path -> output -> pictures.
         *
         *         Its events come after the number `seq` of `epoch`: with them `/ws` gives its diary from the beginning. A job with
         *         items has `counts` (how many are in which state) and, asked for by its id, `items`; `of` is the job that it was
         *         made from (retried or finished). `urls` are the addresses of its outputs' pictures, `eta_s` the seconds left.
         */
        Job: {
            id: string;
            /** @enum {string} */
            state: "queued" | "running" | "partial" | "succeeded" | "failed" | "cancelled" | "interrupted";
            title: string;
            created: number;
            problems: components["schemas"]["Problem"][];
            outputs: {
                [key: string]: components["schemas"]["Blob"][];
            };
            values: {
                [key: string]: Json;
            };
            files: string[];
            drawn: {
                [key: string]: number | string;
            };
            pictures: {
                [key: string]: {
                    [key: string]: components["schemas"]["Blob"][];
                };
            };
            fraction: number;
            position?: number;
            started?: number;
            finished?: number;
            eta_s?: number;
            epoch?: string;
            seq?: number;
            parameters?: {
                [key: string]: Json;
            };
            workflow?: components["schemas"]["Workflow"];
            counts?: {
                [key: string]: number;
            };
            items?: components["schemas"]["Item"][];
            sweep?: components["schemas"]["Sweep"];
            stop?: {
                [key: string]: number;
            };
            together?: number;
            of?: string;
            priority?: number;
            urls?: {
                [key: string]: string[];
            };
        };
        /** @description A job was taken out of the history. */
        JobDeletedEvent: {
            /** @constant */
            event: "job_deleted";
            job: string;
            seq: number;
        };
        /** @description The job is over: what came of it, by the workflow's outputs; of one with items, how many are in which state. */
        JobFinishedEvent: {
            /** @constant */
            event: "job_finished";
            job: string;
            /** @enum {string} */
            state: "queued" | "running" | "partial" | "succeeded" | "failed" | "cancelled" | "interrupted";
            seconds: number;
            outputs: {
                [key: string]: components["schemas"]["Blob"][];
            };
            values: {
                [key: string]: Json;
            };
            files: string[];
            problems: components["schemas"]["Problem"][];
            items?: {
                [key: string]: number;
            };
            seq: number;
        };
        /** @description The job was accepted; `position` jobs are before it. A job with `items` has that many; `of` it was made from. */
        JobQueuedEvent: {
            /** @constant */
            event: "job_queued";
            job: string;
            position: number | null;
            title: string;
            created: number;
            items?: number;
            of?: string;
            seq: number;
        };
        /**
         * @description A job: a workflow, values for its parameters, targets; `again` saves even what is saved already.
         *
         *         `set` holds further values by `node.input`. One of `batch`, `sweep` and `rows` makes it a job with items; `rows` are
         *         their values, by `node.input` or parameter. `stop` ends denoise nodes at a step (`{"denoise": 6}`), to look at many
         *         before finishing few: then nothing is saved, and `POST /api/jobs/{id}/finish` carries on. With `together` up to so
         *         many items (2 to 64, and no more than there is room for) share each forward of a model: a mode of its own, whose
         *         results differ from those of single items by rounding and are never taken for them. A higher `priority` (-100 to
         *         100) goes before a lower one; `front` goes before everything. `webhook` is a URL that is told when the job is over.
         */
        JobRequest: {
            workflow: {
                [key: string]: Json;
            };
            /** @default {} */
            parameters: {
                [key: string]: Json;
            };
            targets?: string[] | null;
            /** @default false */
            again: boolean;
            title?: string | null;
            /** @default {} */
            set: {
                [key: string]: Json;
            };
            batch?: components["schemas"]["Batch"] | null;
            sweep?: components["schemas"]["Sweep"] | null;
            rows?: {
                [key: string]: Json;
            }[] | null;
            stop?: {
                [key: string]: number;
            } | null;
            /** @default 0 */
            together: number;
            /** @default 0 */
            priority: number;
            /** @default false */
            front: boolean;
            webhook?: string | null;
        };
        /** @description The job begins, with the seeds that were drawn for it, by `node.input`. */
        JobStartedEvent: {
            /** @constant */
            event: "job_started";
            job: string;
            drawn: {
                [key: string]: number | string;
            };
            seq: number;
        };
        /** @description Several jobs. */
        Jobs: {
            jobs: components["schemas"]["Job"][];
        };
        /** @description Advice about a step; never blocks. */
        LintedEvent: {
            /** @constant */
            event: "linted";
            job: string;
            path: string;
            problem: components["schemas"]["Problem"];
            item?: number;
            seq: number;
        };
        /** @description What the engine computes with. */
        Machine: {
            device: string;
            dtype: string;
            threads: number;
        };
        /** @description Who holds what; `disk` is null where nothing is kept on disk. */
        Memory: {
            devices: components["schemas"]["DeviceMemory"][];
            disk?: components["schemas"]["Disk"];
        };
        /** @description Models or values were given back on request: a plan may be another one now. */
        MemoryFreedEvent: {
            /** @constant */
            event: "memory_freed";
            seq: number;
        };
        /**
         * @description Who holds a device's memory as the job ends: bytes used of the budget, the most there ever were, the largest.
         *
         *         `held` has rows of kind (`weights`, `value`, `working`), name, bytes, and whether it is in use.
         */
        MemoryHeldEvent: {
            /** @constant */
            event: "memory_held";
            job: string;
            device: string;
            used: number;
            limit: number;
            peak: number;
            held: [
                string,
                string,
                number,
                boolean
            ][];
            item?: number;
            seq: number;
        };
        /** @description The next step: in words, and as document commands. */
        Mend: {
            text: string;
            edits: components["schemas"]["Edit"][];
        };
        /** @description What a model's file says of itself; `words` are those that call up what it learned, the most frequent first. */
        ModelNotes: {
            kind: string;
            name: string;
            /** @default  */
            title: string;
            /** @default  */
            author: string;
            /** @default  */
            about: string;
            /** @default  */
            licence: string;
            /** @default  */
            base: string;
            /** @default [] */
            words: string[];
        };
        /**
         * @description A model: its family, what it is, for what it is made (a LoRA's base, say), or why it cannot be read.
         *
         *         `side` is that of the pictures a whole model was trained with, in pixels; 0 where it is not known.
         */
        ModelRow: {
            name: string;
            bytes: number;
            /** @default  */
            family: string;
            /** @default  */
            what: string;
            /** @default  */
            fits: string;
            /** @default  */
            precision: string;
            /** @default  */
            problem: string;
            picture?: string;
            /** @default 0 */
            side: number;
        };
        /** @description A new place in the queue, counted from 0. */
        MoveRequest: {
            position: number;
        };
        /** @description A model that a workflow names: of which kind, at which node, whether it is there, and how to get it if not. */
        Need: {
            kind: string;
            name: string;
            node: string;
            there: boolean;
            /** @default  */
            mend: string;
        };
        /** @description A node's declaration. `flow` marks the engine's own: map, fold, switch, reroute. */
        NodeSpec: {
            id: string;
            path: string;
            title: string;
            help: string;
            inputs: components["schemas"]["Input"][];
            outputs: components["schemas"]["Slot"][];
            version?: number;
            category?: string;
            aliases?: string[];
            deprecated?: string;
            light?: boolean;
            effect?: boolean;
            target?: boolean;
            volatile?: boolean;
            cutoff?: boolean;
            lane?: string;
            network?: boolean;
            batched?: string;
            takes_run?: boolean;
            is_async?: boolean;
            facts?: {
                [key: string]: Json;
            }[];
            fingerprint?: string;
            work?: string;
            steps?: string;
            stop?: string[];
            migrate?: string;
            lints?: string;
            bypass?: [
                string,
                string
            ][];
            advanced?: string[];
            pack?: string;
            line?: number;
            flow?: boolean;
        };
        /** @description Every node, type and pack; `connect` says what may be wired to what (`fits`, `no`, `unknown`). */
        Nodes: {
            nodes: components["schemas"]["NodeSpec"][];
            types: components["schemas"]["TypeSpec"][];
            packs: components["schemas"]["Pack"][];
            connect: {
                [key: string]: {
                    [key: string]: "fits" | "no" | "unknown";
                };
            };
        };
        /** @description The nodes were loaded anew: fetch `/api/nodes`. */
        NodesChangedEvent: {
            /** @constant */
            event: "nodes_changed";
            seq: number;
        };
        /** @description The workflow that was in a picture or file; of one that another program made, what is to be looked at. */
        Opened: {
            workflow: components["schemas"]["Workflow"];
            told?: string[];
        };
        /** @description A picture that an item made: at which output of which node, and under which name of the workflow's outputs. */
        Output: {
            node: string;
            output: string;
            blob: string;
            url: string;
            kind: string;
            width: number;
            height: number;
            name?: string;
        };
        /** @description A node pack, or why it could not be read. */
        Pack: {
            name: string;
            version: string;
            title: string;
            problem?: components["schemas"]["Problem"];
        };
        /** @description One parameter of a saved workflow; `schema` is the JSON Schema of its values. */
        Parameter: {
            name: string;
            type: string;
            label: string;
            required: boolean;
            schema: {
                [key: string]: Json;
            };
            about?: string;
            group?: string;
            order?: number;
            default?: Json;
        };
        /** @description Where in a workflow something is. */
        Place: {
            file?: string;
            line?: number;
            column?: number;
            path?: string;
            socket?: string;
        };
        /** @description What would run: a workflow, values for its parameters (or `node.input`), and targets (all when left out). */
        PlanRequest: {
            workflow: {
                [key: string]: Json;
            };
            /** @default {} */
            parameters: {
                [key: string]: Json;
            };
            targets?: string[] | null;
        };
        /** @description One row of a plan; `pictures` are what its outputs were seen as before, or would be seen as again. */
        PlanStep: {
            path: string;
            node: string;
            /** @enum {string} */
            status: "hit" | "saved" | "run" | "maybe" | "light" | "failed" | "blocked" | "not needed";
            /** @default  */
            why: string;
            seconds?: number;
            /** @default 0 */
            steps: number;
            /** @default 0 */
            resumed: number;
            /** @default [] */
            waits_for: string[];
            problem?: components["schemas"]["Problem"];
            memory?: number;
            /** @default {} */
            pictures: {
                [key: string]: components["schemas"]["Blob"][];
            };
        };
        /**
         * @description What would run now, why, for how long; `drawn` are the seeds that the next run will have.
         *
         *         `memory` is how many bytes will be in use at most, of what was ever measured.
         */
        Planned: {
            steps: components["schemas"]["PlanStep"][];
            problems: components["schemas"]["Problem"][];
            lints: components["schemas"]["Problem"][];
            drawn: {
                [key: string]: number | string;
            };
            seconds?: number;
            memory?: number;
        };
        /** @description What the (first) plan says: how many steps are hits, will run, may run; expected seconds, None if unknown. */
        PlannedEvent: {
            /** @constant */
            event: "planned";
            job: string;
            hit: number;
            run: number;
            maybe: number;
            seconds: number | null;
            item?: number;
            seq: number;
        };
        /** @description The header of a binary message, before the picture of work in progress. */
        PreviewHeader: {
            job: string;
            path: string;
            done: number;
            total: number;
            mime: string;
            item?: number;
        };
        /** @description One error or piece of advice. */
        Problem: {
            code: string;
            message: string;
            /** @enum {string} */
            severity: "error" | "lint";
            where: components["schemas"]["Place"];
            mend?: components["schemas"]["Mend"] | null;
            report?: string | null;
        };
        /** @description A new node before a socket (it takes what the socket had) or behind one (it stands for what `passes` names). */
        Put: {
            type: string;
            before?: string;
            behind?: string;
            input?: string;
            output?: string;
            passes?: string[];
            inputs?: {
                [key: string]: Json;
            };
            with?: components["schemas"]["Beside"];
        };
        /** @description What waits and what runs, in order. */
        Queue: {
            paused: boolean;
            jobs: components["schemas"]["Job"][];
        };
        /** @description The queue was paused, cleared or ordered anew; `waiting` are the jobs that have not begun, in order. */
        QueueChangedEvent: {
            /** @constant */
            event: "queue_changed";
            paused: boolean;
            waiting: string[];
            seq: number;
        };
        /** @description Pause or go on; `clear` cancels what waits. */
        QueueRequest: {
            paused?: boolean | null;
            /** @default false */
            clear: boolean;
        };
        /** @description Something that holds memory. */
        Resident: {
            kind: string;
            name: string;
            bytes: number;
            in_use: boolean;
        };
        /** @description A graph: that of a job (or of one of its items), or one that is sent along. */
        ResultRef: {
            job?: string | null;
            item?: number | null;
            workflow?: {
                [key: string]: Json;
            } | null;
        };
        /**
         * @description Values for the parameters of a saved workflow; the rest as in `JobRequest`.
         *
         *         A picture is the name of an input file, a `data:` URL, `{"url": "https://..."}` or `{"base64": "..."}`.
         */
        RunRequest: {
            /** @default {} */
            parameters: {
                [key: string]: Json;
            };
            /** @default false */
            again: boolean;
            title?: string | null;
            batch?: components["schemas"]["Batch"] | null;
            sweep?: components["schemas"]["Sweep"] | null;
            rows?: {
                [key: string]: Json;
            }[] | null;
            /** @default 0 */
            together: number;
            /** @default 0 */
            priority: number;
            webhook?: string | null;
        };
        /** @description A workflow to keep. With `modified`, only when nobody has saved another since. */
        SaveRequest: {
            workflow: {
                [key: string]: Json;
            };
            modified?: number | null;
        };
        /** @description An effect wrote these files. */
        SavedEvent: {
            /** @constant */
            event: "saved";
            job: string;
            path: string;
            files: string[];
            item?: number;
            seq: number;
        };
        /** @description A workflow, as it stands; `versions` are the times of what it was before. */
        SavedWorkflow: {
            name: string;
            workflow: components["schemas"]["Workflow"];
            modified: number;
            versions: string[];
        };
        /** @description The engine answers. */
        ServerReadyEvent: {
            /** @constant */
            event: "server_ready";
            seq: number;
        };
        /** @description What is remembered for everyone who opens the editor: plain JSON by name. */
        Settings: {
            settings: {
                [key: string]: Json;
            };
        };
        /** @description These settings have other values; null for one that was forgotten. */
        SettingsChangedEvent: {
            /** @constant */
            event: "settings_changed";
            settings: {
                [key: string]: Json;
            };
            seq: number;
        };
        /** @description What sharing comes to: `forwards` denoise steps instead of `apart`, up to `rows` items in each; what is alone. */
        Sharing: {
            forwards: number;
            apart: number;
            rows: number;
            alone: components["schemas"]["Alone"][];
        };
        /** @description One output. */
        Slot: {
            name: string;
            type: components["schemas"]["Type"] | string;
            help?: string;
        };
        /** @description The snapshot that a client starts from; events after `seq` of this `epoch` follow on the socket. */
        State: {
            version: string;
            epoch: string;
            seq: number;
            numerics: components["schemas"]["Machine"];
            queue: components["schemas"]["Queue"];
            settings: {
                [key: string]: Json;
            };
            user?: string;
        };
        /** @description The step could not run because `by` failed. */
        StepBlockedEvent: {
            /** @constant */
            event: "step_blocked";
            job: string;
            path: string;
            by: string;
            item?: number;
            seq: number;
        };
        /** @description The step was under way when the job was cancelled. */
        StepCancelledEvent: {
            /** @constant */
            event: "step_cancelled";
            job: string;
            path: string;
            item?: number;
            seq: number;
        };
        /** @description The node failed; its descendants are blocked, the rest goes on. */
        StepFailedEvent: {
            /** @constant */
            event: "step_failed";
            job: string;
            path: string;
            problem: components["schemas"]["Problem"];
            item?: number;
            seq: number;
        };
        /** @description The node has run. Seconds on the clock, bytes of its outputs, and how much memory it peaked at, if known. */
        StepFinishedEvent: {
            /** @constant */
            event: "step_finished";
            job: string;
            path: string;
            seconds: number;
            bytes: number;
            peak: number | null;
            cut_off: boolean;
            item?: number;
            seq: number;
        };
        /** @description The step's outputs were already there; `tier` says where, `shared` that another job was computing them. */
        StepHitEvent: {
            /** @constant */
            event: "step_hit";
            job: string;
            path: string;
            tier: string;
            shared: boolean;
            item?: number;
            seq: number;
        };
        /** @description What a step shows at one of its outputs. */
        StepPicturesEvent: {
            /** @constant */
            event: "step_pictures";
            job: string;
            path: string;
            output: string;
            pictures: components["schemas"]["Blob"][];
            item?: number;
            seq: number;
        };
        /** @description `done` of `total` units, seconds left, and how far the whole job is. Volatile. */
        StepProgressEvent: {
            /** @constant */
            event: "step_progress";
            job: string;
            path: string;
            done: number;
            total: number;
            text: string;
            left: number | null;
            fraction: number;
            item?: number;
        };
        /** @description The device ran out of memory (or what else stands in `because`), and the step was tried once more: `how`. */
        StepRetriedEvent: {
            /** @constant */
            event: "step_retried";
            job: string;
            path: string;
            how: string;
            because: string;
            freed: number;
            numerics_changed: boolean;
            item?: number;
            seq: number;
        };
        /** @description A node showed a value (`run.show`): the id under which it can be fetched, and one line about it. */
        StepShownEvent: {
            /** @constant */
            event: "step_shown";
            job: string;
            path: string;
            id: string;
            summary: string;
            item?: number;
            seq: number;
        };
        /**
         * @description The node is being run; `resumed` denoise (or training) steps of `steps` were already known.
         *
         *         `sharing` steps of the job, this one among them, share their work, as each forward of a model; 0: it runs alone.
         */
        StepStartedEvent: {
            /** @constant */
            event: "step_started";
            job: string;
            path: string;
            why: string;
            resumed: number;
            steps: number;
            sharing: number;
            item?: number;
            seq: number;
        };
        /** @description Every combination of up to three axes, the last one running fastest (row-major). */
        Sweep: {
            axes: components["schemas"]["Axis"][];
        };
        /** @description A tab that every browser of its user shares. `version` is also the reply's ETag. */
        Tab: {
            name: string;
            version: number;
            modified: number;
            body?: {
                [key: string]: Json;
            };
        };
        /** @description A tab has another version; 0 when it was closed. */
        TabChangedEvent: {
            /** @constant */
            event: "tab_changed";
            tab: string;
            version: number;
            seq: number;
        };
        /** @description What is open in a tab: a workflow and whatever else the editor keeps with it. */
        TabRequest: {
            body: {
                [key: string]: Json;
            };
        };
        /** @description Every open tab, without what is in it. */
        Tabs: {
            tabs: components["schemas"]["Tab"][];
        };
        /** @description What one encoder reads: the tokens of each window, and how many have room in one. */
        TokenCount: {
            encoder: string;
            windows: number[];
            room: number;
        };
        /** @description The tokens of a text, for every encoder that reads it; empty where it is not known which do. */
        Tokens: {
            counts: components["schemas"]["TokenCount"][];
        };
        /** @description A text input (`path.input`) of a workflow whose tokens are to be counted. */
        TokensRequest: {
            workflow: {
                [key: string]: Json;
            };
            to: string;
        };
        /** @description The values that were tried, the newest first. */
        Trail: {
            points: components["schemas"]["TrailPoint"][];
        };
        /** @description A value that was tried with all else equal, and what it gave. */
        TrailPoint: {
            value: Json;
            job: string;
            blob: string;
            url: string;
            width: number;
            height: number;
            at: number;
            item?: number;
        };
        /** @description A workflow as it stands, and the input (`node.input`, or a parameter) whose earlier values are asked for. */
        TrailRequest: {
            workflow: {
                [key: string]: Json;
            };
            to: string;
            /** @default {} */
            parameters: {
                [key: string]: Json;
            };
        };
        /** @description A socket's type where a string such as `Image` or `Mask?` cannot say it. */
        Type: {
            name: string;
            args?: (components["schemas"]["Type"] | string)[];
            optional?: boolean;
            choices?: (string | number)[];
            variable?: boolean;
        };
        /** @description A socket type: how it is called and drawn, and which types it is one of. */
        TypeSpec: {
            name: string;
            path: string;
            about: string;
            colour: string;
            bases: string[];
            recipe: boolean;
            portable: boolean;
        };
        /** @description Under which name an upload was kept, and its size in pixels. */
        Uploaded: {
            name: string;
            width: number;
            height: number;
        };
        /** @description One option of an input that brings inputs of its own. */
        Variant: {
            name: string;
            path: string;
            inputs: components["schemas"]["Input"][];
        };
        /** @description The weights of `model` are read from disk before the step needs them: `bytes` were not in memory. */
        WeightsComingEvent: {
            /** @constant */
            event: "weights_coming";
            job: string;
            path: string;
            model: string;
            bytes: number;
            item?: number;
            seq: number;
        };
        /** @description Reading ahead is over: `read` bytes came into memory; `stopped` says why it ended early, "" when it did not. */
        WeightsNearEvent: {
            /** @constant */
            event: "weights_near";
            job: string;
            path: string;
            model: string;
            read: number;
            seconds: number;
            stopped: string;
            item?: number;
            seq: number;
        };
        /**
         * @description How a value is typed: bounds, and a kind (seed, text, prompt, model, file, choices, or a pack's own).
         *
         *         A bound that a browser cannot hold, a seed's highest, is a decimal string.
         */
        Widget: {
            kind?: string;
            low?: number | string;
            high?: number | string;
            step?: number;
            soft?: [
                number,
                number
            ];
            models?: string;
            place?: string;
            choices?: string;
            options?: {
                [key: string]: Json;
            };
            names?: string;
            tokens?: string;
        };
        /** @description What a client may say: whether it shows previews. */
        Wish: {
            previews: boolean;
        };
        /** @description What an author may want to write: names that stand for files, by kind, and words of earlier prompts by use. */
        Words: {
            names: {
                [key: string]: string[];
            };
            words: string[];
        };
        /** Weft workflow */
        Workflow: {
            /**
             * @description The version of the format.
             * @constant
             */
            weft: 1;
            /** @description The boxes of the graph, by name. */
            nodes?: {
                [key: string]: components["schemas"]["WorkflowNode"];
            };
            /** @description The inputs of the whole graph. */
            parameters?: {
                [key: string]: components["schemas"]["WorkflowParameter"];
            };
            /** @description The results of the whole graph: name to "node.output". */
            outputs?: {
                [key: string]: string;
            };
            /** @description What the workflow is called. */
            title?: string;
            /** @description One paragraph for the template browser. */
            about?: string;
            /** @description Other graphs, used by nodes of type #name. */
            graphs?: {
                [key: string]: components["schemas"]["WorkflowGraph"];
            };
            /** @description Packs and models that the workflow needs. */
            requires?: Record<string, never>;
            /** @description Layout only; changes no result. */
            view?: Record<string, never>;
        };
        /** @description A workflow was deleted. */
        WorkflowDeletedEvent: {
            /** @constant */
            event: "workflow_deleted";
            name: string;
            seq: number;
        };
        WorkflowGraph: {
            /** @description The boxes of the graph, by name. */
            nodes?: {
                [key: string]: components["schemas"]["WorkflowNode"];
            };
            /** @description The inputs of the whole graph. */
            parameters?: {
                [key: string]: components["schemas"]["WorkflowParameter"];
            };
            /** @description The results of the whole graph: name to "node.output". */
            outputs?: {
                [key: string]: string;
            };
        };
        WorkflowLink: {
            /** @description "node.output" */
            from: string;
        };
        /** @description Several sources, by name. */
        WorkflowNamed: {
            [key: string]: components["schemas"]["WorkflowSource"];
        };
        WorkflowNode: {
            /** @description A node's id, "chapter.verb", or "#name" for a graph of this file. */
            type: string;
            /** @description The version of the node that the inputs were written for. */
            version?: number;
            /** @description Literals, wires ({"from": "node.output"}), lists of both, or named sources. */
            inputs?: {
                [key: string]: components["schemas"]["WorkflowSource"];
            };
            /**
             * @description mute: it and what needs it do not run. bypass: its input passes through.
             * @enum {unknown}
             */
            mode?: "" | "mute" | "bypass";
            /** @description What the card says. */
            title?: string;
            /** @description The graph that map and fold repeat, #name. */
            body?: string;
        };
        WorkflowParameter: {
            /** @description The inputs that the parameter sets, as "node.input". */
            to?: string[] | string;
            default?: Json;
            /** @description Must it be given? */
            required?: boolean;
            /** @description What a form shows. */
            label?: string;
        };
        /** @description A workflow that can be opened; templates have names such as `template:text_to_image`. `types`: of its nodes. */
        WorkflowRow: {
            name: string;
            title: string;
            about: string;
            /** @enum {string} */
            origin: "yours" | "template";
            modified: number;
            thumbnail?: string;
            /** @default [] */
            needs: components["schemas"]["Need"][];
            /** @default [] */
            types: string[];
        };
        /** @description A workflow was saved. */
        WorkflowSavedEvent: {
            /** @constant */
            event: "workflow_saved";
            name: string;
            modified: number;
            seq: number;
        };
        WorkflowSource: Json;
        /** @description A literal that is an object or a list of objects. */
        WorkflowValue: {
            value: Json;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
