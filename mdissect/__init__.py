"""What has this network learnt? Concept labels for the neurons of mammography models.

The method: axes, outputs, hooks, runner, passing, entries, filling, embed, similarity, chance, calibrate, labels, columns,
dissection, method, many and analysis, in this order. Beside runner: folding (of batch norms), fusing (of activations),
hardware and precision (is bf16 enough); beside analysis: facts (what top images share) and groups (of concepts). It stands on
preprocess, store, registry, saved, values, kinds, paths, files, mapped, tables (lines, workbooks), text_storage, arguments,
signatures and wording. Around it, a folder each:

    concepts    the phrases that label neurons                  probes      the images
    models      targets and dissectors                          localize    where in the image a neuron responds
    trust       how far labels can be trusted                   study       the paper's setups and questions
    predictions of images; what named neurons do to them         phantom     images and texts with known truth
    plots       figures of tables                               explorers   widgets for neurons, concepts and models
    sae         sparse autoencoders: latents as neurons         train       fine-tuning, pretraining; the demo models
    atlas       a dissection as one HTML file                   evaluate    how good an image-text model is
    engine      a pass on the machines of a Ray cluster         streaming   the method on more images than memory holds
    commands    ``python -m mdissect ...``                      browser     scripts that explorers and atlas share

The public names below are imported on first use, so ``import mdissect`` is quick.
"""

from mdissect.registry import hand_on

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "atlas": "write_atlas",
        "concepts": "ConceptSet load_concepts",
        "dissection": "Dissection",
        "embed": "PassOptions",
        "explorers": "explore explore_concepts explore_models",
        "many": "dissect_many",
        "method": "dissect",
        "models": "Dissector Target load_dissector load_target",
        "preprocess": "Preprocess",
        "probes": "Probe load_probe",
    },
    modules=(
        "analysis",
        "calibrate",
        "evaluate",
        "hooks",
        "localize",
        "plots",
        "predictions",
        "sae",
        "similarity",
        "study",
        "trust",
    ),
)
