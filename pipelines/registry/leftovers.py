"""What MLflow still holds of runs that somebody deleted."""

from mlflow.entities import ViewType

from pipelines.registry.store import Store


def deleted_runs(store: Store) -> list[str]:
    """Deleted runs that no version of any model was made by; `mlflow gc` frees their disk."""
    experiments = [one.experiment_id for one in store.client.search_experiments()]
    deleted = {
        run.info.run_id
        for run in store.client.search_runs(experiments, run_view_type=ViewType.DELETED_ONLY)
    }
    versions = store.client.search_model_versions()
    needed = {run for v in versions for run in (v.run_id, v.tags.get("hgmnet.decision_run"))}
    return sorted(deleted - needed)
