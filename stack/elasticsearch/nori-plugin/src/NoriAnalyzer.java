package aegis.nori;

import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.ko.KoreanAnalyzer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.AnalyzerFactory;

/** Analyzer "nori", under the name that the official analysis-nori plugin gives it. */
@NamedComponent("nori")
public class NoriAnalyzer implements AnalyzerFactory {
    @Override
    public Analyzer create() {
        return new KoreanAnalyzer();
    }
}
