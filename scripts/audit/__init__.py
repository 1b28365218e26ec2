"""The privacy audit: attacks on a surrogate store, each beside its controls.

An attack is a module of one shape (:mod:`fesf.scripts.audit.attack`): :mod:`~fesf.scripts.audit.onlooker`,
:mod:`~fesf.scripts.audit.same_image`, :mod:`~fesf.scripts.audit.host_recovery`, :mod:`~fesf.scripts.audit.amplitude`,
:mod:`~fesf.scripts.audit.self_made_amplitude`, :mod:`~fesf.scripts.audit.amplitude_differences`,
:mod:`~fesf.scripts.audit.ridge`, :mod:`~fesf.scripts.audit.unet`, :mod:`~fesf.scripts.audit.phase_retrieval`,
:mod:`~fesf.scripts.audit.nearest`, :mod:`~fesf.scripts.audit.siamese`, :mod:`~fesf.scripts.audit.burned_in_text`.
"""
