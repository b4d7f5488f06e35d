"""Settings of a run of two steps on the built-in brick, for tests of what can be done with a finished run."""

NARROW = {"model.init_args.backbone.init_args.width": 8}
SMALL_RUN = {
    "trainer.max_steps": 2,
    "trainer.val_check_interval": 2,
    "data.batch_size": 4,
    "data.dataset.init_args.train": 12,
    "data.dataset.init_args.validation": 8,
    "data.dataset.init_args.test": 4,
    "panels.count": 1,
    "failures.worst": 1,
}
