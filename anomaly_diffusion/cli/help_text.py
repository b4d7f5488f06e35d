"""What the program says about itself without importing anything heavy."""

_OVERVIEW = """\
anomaly-diffusion: find defects in images with diffusion models.

usage: anomaly-diffusion COMMAND [options]      (or python -m anomaly_diffusion ...)

start here
  demo      train on a built-in texture and find painted defects, in about a minute
  data      list open data sets, or get one
  doctor    check a folder of images before training on it
  checks    versions, GPU, memory, disk, W&B
  completion SHELL       the script that completes commands in bash or zsh
  list      models, noises, strategies, residuals, data sets, experiments

experiments
  train     train, then test the checkpoint that was best on validation
  fit       train only
  validate  measure a run on its validation images
  test      measure a run on its test images
  predict   judge photographs: files, folders, patterns, or those that arrive in a folder
  add       let a finished run judge a category more, and all others as before
  sweep     every trial of a W&B sweep file, offline; done trials are skipped
  compare   finished runs side by side, mean and spread over seeds
  report    a page about finished runs: tables, charts, pictures that slide, every image
  paper     report, slides and appendix of a folder of runs, as PDF
  choose    which of several settings finds most painted defects, if validation can tell
  detection_limit        which width of painted defect a run finds nine times in ten

use
  serve     judge photographs that other programs send by HTTP
  inspect   look at photographs, maps and test sets in a browser
  export    a finished run as one file that judges photographs without torch

baselines
  tiny_pipeline FOLDER   a tiny Stable Diffusion with random weights, to try its commands without a download

anomaly-diffusion COMMAND --help explains one; --version tells the version; --debug shows tracebacks.
Example: anomaly-diffusion train --config experiments/model/pixel.yaml --config experiments/data/tile.yaml"""

_TRAINING = """\
anomaly-diffusion {verb}: {purpose}.

usage: anomaly-diffusion {verb} --config MODEL.yaml [--config DATA.yaml ...] [options]

  --config FILE             settings, several merge in order; shipped ones: anomaly-diffusion list experiments
  --experiment NAME         first folder below runs/; default: from the configs' names, e.g. pixel-tile
  --run NAME                second folder; default: the next free number 001, 002, ...
  --runs_dir FOLDER         where runs go (default: runs)
  --resume FOLDER|last      go on with an interrupted run from its last checkpoint
  --seed_everything N       seed of everything random (default: 0)
  --data.image_size [H,W]   --data.batch_size N    (all of them: --help_full)
  --trainer.max_steps N     length of training     --trainer.max_time 00:00:15:00
  --trainer.accelerator cpu|gpu   --trainer.devices N   --trainer.precision bf16-mixed
  --acceleration.auto true  on a CPU, take bfloat16 if a probe shows that it is faster: other bits, see the docs
  --trainer.fast_dev_run 1  one batch of everything, to see whether it runs
  --wandb.mode MODE         offline (default), online, disabled; also --wandb.project .group .tags .job_type
  --print_config            show the merged settings and stop
  --help_full               every setting

examples
  anomaly-diffusion {verb} --config experiments/model/pixel.yaml
  anomaly-diffusion {verb} --config experiments/model/pixel.yaml --config experiments/data/tile.yaml --run seed1 \\
      --seed_everything 1
  anomaly-diffusion {verb} --config runs/pixel-tile/001/config.yaml        (the same run again, in a new folder)
  anomaly-diffusion {verb} --resume last --trainer.max_steps 5000"""

_EVALUATION = """\
anomaly-diffusion {verb}: {purpose}.

usage: anomaly-diffusion {verb} --run_folder runs/EXPERIMENT/RUN [options]

  --run_folder FOLDER|last  an earlier run: its settings, its split and its best checkpoint are used
  --ckpt_path FILE          another checkpoint; inside a run folder it brings the run's settings along
  --config FILE             settings on top of the run's, several merge in order
  --data.batch_size N       any setting of the run can be changed (all of them: --help_full)
  --trainer.accelerator cpu|gpu   --trainer.devices N   --trainer.precision bf16-mixed
  --seed_everything N       seed of everything random (default: the run's)
  --wandb.mode MODE         offline (default), online, disabled
  --print_config            show the merged settings and stop
  --help_full               every setting

Results go to runs/EXPERIMENT/RUN/evaluations/001, 002, ... (with --config guided.yaml to guided-001; --run names it).

examples
  anomaly-diffusion {verb} --run_folder last
  anomaly-diffusion {verb} --run_folder runs/pixel-tile/001 --data.batch_size 4
  anomaly-diffusion {verb} --ckpt_path runs/pixel-tile/001/checkpoints/last.ckpt"""

_PREDICTION = """\
anomaly-diffusion predict: judge photographs by a finished run, a line each as they come.

usage: anomaly-diffusion predict [--run_folder RUN] PHOTOGRAPH... [options]

  PHOTOGRAPH...             files, folders, patterns such as 'line/*.png'; -: names on standard input, one a line
  --watch FOLDER            judge photographs as they arrive there, until Ctrl-C; none twice, after a restart either
  --run_folder RUN|last     the run (default: last), or an exported file: .onnx, which needs no torch and starts at
                            once, or .pt2; --runs_dir FOLDER: where runs are
  --false_alarms RATE       rate of good parts that may be called defective (default: the run's)
  --category NAME           what they show, where the run knows several; else a folder of that name tells
  --output FILE             .csv or .jsonl; -: standard output, with --json as JSON lines
                            (default: predictions.csv and pictures, in the run's evaluations)
  --append                  go on with an output: what it holds is not judged again
  --masks, --overlays       write the regions of each verdict, and each map over its photograph, at the file's size
  --device NAME             cpu (default), cuda, or another that torch knows
Exit status 1: some photographs could not be judged; each is told in a line.

Without a photograph, or with settings of a run, a trainer judges as in a test, in as many processes as it is given:
  --data.dataset Images --data.dataset.init_args.root FOLDER, --trainer.devices N, --config FILE (all: --help_full)
  --run NAME                names the evaluation; after a kill, the same command goes on and judges none twice

examples
  anomaly-diffusion predict new/1.png new/2.png
  anomaly-diffusion predict --run_folder runs/feature-tile/001 new_photographs --false_alarms .01
  find line -name '*.png' | anomaly-diffusion predict - --output verdicts.jsonl
  anomaly-diffusion predict --watch arriving
  anomaly-diffusion predict --run_folder screw.onnx new_photographs --output verdicts.csv"""

PURPOSES = {
    "train": "train, then test the checkpoint that was best on validation images",
    "fit": "train a detector on defect-free images",
    "validate": "measure a trained detector on its validation images",
    "test": "measure a trained detector on its test images",
}


def overview() -> str:
    """Return the help of the whole program."""
    return _OVERVIEW


def verb(name: str) -> str:
    """Return the short help of a verb that trains or evaluates."""
    if name == "predict":
        return _PREDICTION
    template = _TRAINING if name in ("train", "fit") else _EVALUATION
    return template.format(verb=name, purpose=PURPOSES[name])
